// The life of a session: welcome, attach, release, end. See session.hpp.
#include "proxy/session/session.hpp"

#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/policy/client_errors.hpp"

namespace pgsteady {

namespace {

// Names in a StartupMessage that are not settings.
bool is_setting(std::string_view name) {
    return name != "user" && name != "database" && name != "replication" && name != "options" &&
           !name.starts_with("_pq_.");
}

}  // namespace

session::session(session_tables& tables, pool_facts& pool, std::int32_t client_pid, std::string client_key)
    : tables_(tables),
      pool_(pool),
      client_pid_(client_pid),
      id_(tables.next_token++),
      client_key_(std::move(client_key)),
      base_(tables.settings.none()),
      desired_(base_),
      committed_(base_),
      names_token_(id_) {}

session::~session() = default;

session::extra& session::more() {
    if (extra_ == nullptr) extra_ = std::make_unique<extra>();
    return *extra_;
}

/// Settings of the StartupMessage, `options` first as PostgreSQL applies them, become the ledger's base.
void session::begin(const parameter_list& startup) {
    std::vector<settings::pair> chosen;
    for (const auto& [name, value] : startup)
        if (name == "options")
            for (auto& [option, setting] : parse_options(value)) chosen.emplace_back(option, setting);
    for (const auto& [name, value] : startup)
        if (is_setting(name)) chosen.emplace_back(name, value);
    base_ = tables_.settings.of(std::move(chosen));
    desired_ = committed_ = base_;
    try_welcome();
}

// What a server reports under these settings is known if one has accepted them before; else one is asked.
void session::try_welcome() {
    const auto known = pool_.known.find(desired_.get());
    if (known == pool_.known.end()) {
        need_ = need_to_welcome();
        return wait_for_server();
    }
    believed_ = pool_.service == service_mode::read_only ? as_read_only(tables_.reported, known->second.reported)
                                                         : as_of_primary(tables_.reported, known->second.reported);
    welcome();
}

void session::welcome() {
    std::string out;
    append_parameter_changes(out, nullptr, *believed_);
    {
        const frame_builder key(out, backend_message::backend_key_data);
        put_i32(out, client_pid_);
        out += client_key_;
    }
    tables_.to_client.copy(out);
    emit_ready('I');
    phase_ = phase::ready;
}

void session::wait_for_server() {
    if (waiting_ || link_ != nullptr) return;
    waiting_ = true;
    actions_.want_server = true;
}

void session::on_server(server_link& link) {
    waiting_ = false;
    claimed_ = phase_ == phase::ready;
    link_ = &link;
    sequence_used_ = false;
    if (link.only_client == 0) link.only_client = id_;
    else if (link.only_client != id_) link.used_by_others = true;
    if (link.notifier != id_) link.notifier = 0;
    committed_ = desired_;
    committed_applied_ = link.applied;
    if (phase_ == phase::welcoming) {
        if (!restore_needed()) {
            pool_.known.insert_or_assign(desired_.get(), pool_facts::accepted{desired_, link.reported});
            believed_ = shown();
            welcome();
            release_if_at_rest();
        } else {
            (void)restore();
        }
        return;
    }
    only_listens_ = false;
    if (!restore_needed()) sync_reported();
    if (relisten_) listen_again();
}

bool session::idle() const {
    if (chained_ || listener_wait_ == listener_wait::ready) return false;
    return link_ == nullptr ? !lost_transaction_ && !redoing_ && (!waiting_ || only_listens_)
                            : link_->at_rest() && !segment_open_;
}

bool session::in_transaction() const {
    return lost_transaction_ || replaying_ || chained_ ||
           (link_ != nullptr && (link_->transaction_status != 'I' || segment_open_));
}

void session::detach(session_actions::release how) {
    actions_.give_back = how;
    link_ = nullptr;
    end_segment();
    relistening_ = restoring_ = flush_sent_ = client_flushed_ = guarding_ = confined_ = proving_ = copying_out_ =
        conflict_ = false;
    digesting_ = following_ = resuming_ = differs_ = false;
    muted_ = replaying_;
    delivered_ = error_in_request_ = false;
    rows_ = copied_ = 0;
    effects_pending_ = names_pending_ = completed_ = 0;
    last_tag_ = 0;
    committed_within_ = false;
    if (schema_touched_) note_schema_change();
    resolving_ = resolving::no;
    rewritten_ = sync_held_ = false;
    touched_ = uncertain_ = perhaps_kept_ = resets_ = ready_held_ = began_within_ = false;
    role_ = role_question::none;
    shows_channels_ = false;
    if (listener_wait_ == listener_wait::request) listener_wait_ = listener_wait::no;
    if (extra_ == nullptr) return;
    extra_->portals.clear();
    extra_->held.clear();
    extra_->lent.clear();
    forget_setting_marks();
    forget_name_changes();
    extra_->proof.reset();
    extra_->proven = 0;
}

// Only when every reply is accounted for and the server says it is idle (P19, P21).
void session::release_if_at_rest() {
    if (link_ == nullptr || claimed_ || pins_ != 0 || segment_open_ || client_frame_left_ != 0 || restoring_ ||
        uncertain_ || ready_held_ || listener_wait_ != listener_wait::no)
        return;
    if (pool_.mode == session_mode::session && phase_ != phase::ended) return;
    if (!link_->at_rest()) return;
    if (extra_ != nullptr && !extra_->lent.empty()) return take_lent_back();  // its reply comes here again
    detach(session_actions::release::reuse);
}

void session::end(const error_fields& why, end_reason reason) {
    if (phase_ == phase::ended) return;
    if (link_ == nullptr || link_->frame_left == 0 || !link_->frame_forward) emit_error(why);
    phase_ = phase::ended;
    actions_.close_client = true;
    actions_.reason = reason;
}

// A transaction or a request that is left behind dies with its server connection.
void session::on_client_gone() {
    if (asks_about_commit() && extra_->redos.front().fate == request_fate::commit_resolve) give_up_resolving();
    phase_ = phase::ended;
    waiting_ = false;
    if (link_ == nullptr) return;
    const bool clean = link_->at_rest() && !segment_open_ && !uncertain_ && client_frame_left_ == 0;
    if (!clean) detach(session_actions::release::discard);
    else if (pins_ != 0 || pool_.mode == session_mode::session) detach(session_actions::release::reset);
    else detach(session_actions::release::reuse);
}

session_actions session::take_actions() {
    const session_actions asked = actions_;
    actions_ = {};
    return asked;
}

request_report session::take_report() {
    request_report done = report_;
    report_ = {};
    if (done.requests != 0) return done;
    report_.errors = std::exchange(done.errors, 0);
    report_.wrote = std::exchange(done.wrote, false);
    report_.what = done.what;
    return done;
}

request_report& session::seldom() {
    report_.seldom = true;
    return report_;
}

}  // namespace pgsteady
