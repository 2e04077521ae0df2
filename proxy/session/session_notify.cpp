// LISTEN without a server of the client's own (D18, P22): the client's server has answered its LISTEN, so what PostgreSQL
// says of it is what the client hears; then the connection that listens for all clients of the pool takes the channel over,
// and only when it has it does the client get its ReadyForQuery. Notifications come between requests, never within an
// answer, and are queued meanwhile, within limits. Never shared is what cannot be handed over exactly: LISTEN within a
// transaction or a string of statements takes effect when others see the rest of it, so it keeps its server, as without
// sharing. See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"
#include "proxy/session/session.hpp"

namespace pgsteady {

namespace {

constexpr auto listens = static_cast<std::uint32_t>(pin_reason::listen);
constexpr std::size_t sender_size = 4;
constexpr std::string_view shows_channels = "pg_listening_channels";

/// Of a NotificationResponse; empty if it is malformed.
std::string_view channel_of(std::string_view frame) {
    wire_reader body(frame.substr(std::min(frame.size(), frame_header_size + sender_size)));
    return body.cstring().value_or(std::string_view());
}

}  // namespace

const std::set<std::string>& session::shared_channels() const {
    static const std::set<std::string> none;
    return extra_ != nullptr ? extra_->listening.shared : none;
}

/// The request that is complete was one LISTEN and nothing else, so nobody can know that it is in effect before the client.
bool session::may_share(char before, char status) const {
    const listening_state& ledger = extra_->listening;
    const bool alone = before == 'I' && status == 'I' && completed_ == 1 && ledger.changes.size() == 1 &&
                       !ledger.drops_shared && link_->tracker.empty() && !segment_open_;
    if (!alone || !pool_.shares_listen || pool_.mode == session_mode::session || replaying_ || muted_) return false;
    if (!ledger.channels.empty() || (pins_ & ~listens) != 0 || link_->standby) return false;
    // What is shared is in UTF-8, and the name is read from a text in the client's encoding.
    const std::string* stored = find_reported(*link_->reported, "server_encoding");
    return stored != nullptr && *stored != "SQL_ASCII" && is_utf8_encoding(client_encoding()) &&
           is_ascii(ledger.changes.front().name) && ledger.shared.size() < pool_.max_channels;
}

void session::share(const std::string& channel) {
    listening_state& ledger = extra_->listening;
    ledger.shared.insert(channel);
    ledger.offered = channel;
    shares_ = actions_.channels_changed = true;
}

/// Null: all of them. As on PostgreSQL, what had not been said by then is not said.
void session::stop_sharing(const std::string* channel) {
    if (extra_ == nullptr) return;
    listening_state& ledger = extra_->listening;
    if (channel == nullptr) ledger.shared.clear();
    else ledger.shared.erase(*channel);
    actions_.channels_changed = true;
    shares_ = !ledger.shared.empty();
    if (shares_) return;
    ledger.queued.clear();
    ledger.offered.clear();
}

/// Before the ReadyForQuery of a listening client, outside of transactions: what it has notified itself comes first, as
/// on PostgreSQL, and a channel that it has just asked for is there. True: it is held until on_listener().
bool session::hold_for_listener() {
    if (replaying_ || muted_ || !link_->tracker.empty() || segment_open_) return false;
    listening_state& ledger = extra_->listening;
    if (std::exchange(shows_channels_, false)) listen_here("UNLISTEN ", ledger.shared);
    else if (!ledger.offered.empty()) listen_here("UNLISTEN ", {ledger.offered});
    listener_wait_ = listener_wait::ready;
    actions_.sync_listener = true;
    return true;
}

/// Notifications from a server's process are the client's own as long as it has the server. Those of whoever had it before
/// must have come by then. True: that is waited for.
bool session::asks_listener_first() {
    if (listener_wait_ == listener_wait::request) return true;
    if (link_->notifier == id_) return false;
    link_->notifier = id_;
    listener_wait_ = listener_wait::request;
    actions_.sync_listener = true;
    return true;
}

void session::on_listener(const error_fields* why) {
    if (std::exchange(listener_wait_, listener_wait::no) != listener_wait::ready || phase_ != phase::ready) return;
    const std::string offered = std::exchange(extra_->listening.offered, {});
    if (why != nullptr && !offered.empty()) {
        stop_sharing(&offered);
        ++report_.errors;
        emit_error(*why);
    }
    emit_ready('I');
    release_if_at_rest();
}

/// The server is to know what the client listens to, for a statement that asks. What is notified there is not shown.
void session::show_channels(std::string_view text) {
    const bool between = link_->transaction_status == 'I' && link_->tracker.empty() && !segment_open_;
    if (shows_channels_ || !between || lower_case(text).find(shows_channels) == std::string::npos) return;
    shows_channels_ = true;
    listen_here("LISTEN ", extra_->listening.shared);
}

void session::listen_here(std::string_view statement, const std::set<std::string>& channels) {
    std::string sql;
    for (const std::string& each : channels) {
        if (!sql.empty()) sql += "; ";
        sql += statement;
        sql += quote_identifier(each);
    }
    link_->notes.push_back({reply_note::about::moved_channels, {}, nullptr, nullptr, nullptr, 0});
    link_->tracker.push(owed::query, true);
    link_->unnamed_token = 0;
    tables_.to_server.copy(query_frame(sql));
}

bool session::is_shared(std::string_view notification) const {
    return extra_->listening.shared.contains(std::string(channel_of(notification)));
}

bool session::may_deliver() const {
    // What we have asked the server behind the client's request (UNLISTEN) concerns nobody: no ReadyForQuery comes for it.
    const bool between = link_ != nullptr && link_->tracker.client_readies_owed() == 0 && !segment_open_ && !chained_ &&
                         link_->transaction_status == 'I' && link_->frame_left == 0 && !redoing_;
    return phase_ == phase::ready && (idle() || between) && listener_wait_ == listener_wait::no && !claimed_ &&
           !skip_to_sync_ && client_frame_left_ == 0 && !keeps_result_back();
}

void session::on_shared_notification(std::string_view frame, bool may_write) {
    if (!shares_ || phase_ != phase::ready || frame.size() < frame_header_size + sender_size || !is_shared(frame))
        return;
    const std::string_view encoding = client_encoding();
    if (!is_ascii(frame.substr(frame_header_size + sender_size)) && !is_utf8_encoding(encoding))
        return end(client_errors::notification_untranslatable(encoding), end_reason::out_of_memory);
    const auto sender = static_cast<std::int32_t>(load_u32(frame.data() + frame_header_size));
    const bool own = link_ != nullptr && link_->notifier == id_ && listener_wait_ != listener_wait::request &&
                     sender == link_->backend_pid;
    std::string out(frame.substr(0, frame_header_size));
    put_i32(out, own ? client_pid_ : sender);
    out += frame.substr(frame_header_size + sender_size);
    queue_for_client(out, may_write);
}

void session::on_notifications_missed(std::string_view incident, bool may_write) {
    if (!shares_ || phase_ != phase::ready) return;
    std::string out;
    append_notice_response(out, client_errors::notifications_lost(incident));
    queue_for_client(out, may_write);
}

void session::queue_for_client(std::string_view frames, bool may_write) {
    std::string& queued = extra_->listening.queued;
    if (may_write && queued.empty() && may_deliver()) return tables_.to_client.copy(frames);
    if (queued.size() + frames.size() > pool_.notification_bytes) {
        queued.clear();
        ++seldom().notifications_overflowed;
        return end(client_errors::too_many_notifications(), end_reason::out_of_memory);
    }
    queued += frames;
}

void session::deliver_if_idle() {
    if (shares_ && may_deliver()) deliver_notifications();
}

void session::deliver_notifications() {
    if (!extra_->listening.queued.empty()) tables_.to_client.copy(std::exchange(extra_->listening.queued, {}));
}

}  // namespace pgsteady
