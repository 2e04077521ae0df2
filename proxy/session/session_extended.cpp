// Parse, Bind, Describe, Execute and Close: names of statements are the client's on one side and
// shared ones on the other (P23-P29, D14). See session.hpp.
#include "protocol/frame.hpp"
#include "protocol/wire.hpp"

#include "proxy/session/leading_word.hpp"
#include "proxy/session/session.hpp"
#include "proxy/sql/statement_effects.hpp"

#include <algorithm>
#include <utility>

namespace pgsteady {

namespace {

/// The first NUL-terminated string of `in`, which is advanced behind it. False: there is none.
bool take_cstring(std::string_view& in, std::string_view& out) {
    const std::size_t end = !in.empty() && in.front() == '\0' ? 0 : in.find('\0');
    if (end == std::string_view::npos) return false;
    out = in.substr(0, end);
    in.remove_prefix(end + 1);
    return true;
}

/// What Describe and Close are about: 'S' or 'P', and its name.
bool take_kind_and_name(std::string_view in, char& kind, std::string_view& name) {
    if (in.empty()) return false;
    kind = in.front();
    in.remove_prefix(1);
    return take_cstring(in, name);
}

/// Most texts begin with another letter.
bool may_be_commit(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n;");
    return first != std::string_view::npos && std::string_view("cCeE-/").find(text[first]) != std::string_view::npos &&
           contains_commit(text);
}

std::string parse_frame(std::string_view name, std::string_view tail) {
    std::string out;
    const frame_builder frame(out, frontend::parse);
    put_cstring(out, name);
    out += tail;
    return out;
}

}  // namespace

statement_ptr session::find_statement(std::string_view name) const {
    const auto at = names_.find(name);
    return at != names_.end() ? at->second : nullptr;
}

/// Whether an earlier segment may yet change what the client's names mean: it is waited for.
bool session::names_unsettled() const { return names_pending_ > 0 && link_->tracker.client_readies_owed() > 0; }

/// Whether an earlier segment that is skipped would leave another unnamed statement on the server than the client's,
/// perhaps somebody else's: it is waited for.
bool session::unnamed_unsettled() const {
    if (link_->notes.empty() || link_->tracker.client_readies_owed() == 0) return false;
    return std::any_of(link_->notes.begin(), link_->notes.end(), [](const reply_note& each) {
        const bool replaces = each.what == reply_note::about::client_unnamed ||
                              each.what == reply_note::about::plain_query || each.what == reply_note::about::query ||
                              each.what == reply_note::about::injected_unnamed;
        return replaces && each.token != each.link_token;
    });
}

session::taken session::on_parse(const client_frame& frame) {
    std::string_view tail = frame.body();
    std::string_view name;
    if (!take_cstring(tail, name) || (frame.whole() && tail.find('\0') == std::string_view::npos)) {
        violation("invalid message format");
        return taken::yes;
    }
    if (!name.empty() && names_unsettled()) return taken::wait;
    evict_statements();
    if (shares_ && frame.whole()) show_channels(std::string_view(tail.data()));
    if (frame.whole() && !segment_open_ && !link_->tracker.empty() && may_be_commit(tail)) capture_before_commit(false);
    if (!frame.whole() && !names_.empty()) bring_own(own_missing({}));
    segment_open_ = true;
    if (!frame.whole()) {
        // Too large to share. A name of its own cannot clash with ours, but only this server knows it.
        if (!name.empty()) pin(static_cast<std::uint32_t>(pin_reason::too_large));
        else link_->unnamed_token = unnamed_token_ = tables_.next_token++;
        if (name.empty()) unnamed_tail_.clear();
        link_->tracker.push(owed::parse);
        send(frame);
        return taken::yes;
    }
    return name.empty() ? on_parse_unnamed(frame, tail) : on_parse_named(frame, name, tail);
}

session::taken session::on_parse_unnamed(const client_frame& frame, std::string_view tail) {
    const std::string_view text(tail.data());
    echo(text);
    const token_hits hits = scan_tokens(text);
    const effects_ptr effects = note_hits(text, hits);
    unnamed_writes_ = effects == nullptr && writes_by_form(text);
    unnamed_commits_ = hits.has(token_hit::transaction) && contains_commit(text);
    own_executed(effects);
    const bool noted = note_unnamed();
    unnamed_tail_.assign(tail);
    unnamed_effects_ = effects;
    link_->unnamed_token = unnamed_token_ = tables_.next_token++;
    link_->tracker.push(owed::parse, false, noted);
    send(frame);
    process_settled();
    return taken::yes;
}

/// Before the unnamed statement is replaced or closed. Behind other messages that may be skipped, and what it would have
/// replaced then lives on: true, and a note of it for the message.
bool session::note_unnamed() {
    if (link_->tracker.empty() && !link_->tracker.skipping()) return false;
    reply_note note{
        reply_note::about::client_unnamed, unnamed_tail_, nullptr, nullptr, unnamed_effects_, unnamed_token_};
    note.link_token = link_->unnamed_token;
    link_->notes.push_back(std::move(note));
    return true;
}

/// The shared statement of this text; or one under the client's own name, if the text speaks of its names, or SQL PREPARE
/// has given it a namespace of its own on a server that it keeps (D14).
statement_ptr session::make_statement(std::string_view name, std::string_view tail, const effects_ptr& effects) {
    const bool speaks_of_names = effects != nullptr && !effects->executes.empty();
    if (!speaks_of_names && (pins_ & static_cast<std::uint32_t>(pin_reason::sql_prepare)) == 0)
        return tables_.statements.intern(desired_->planner_key(), tail, effects);
    auto own = std::make_shared<prepared_statement>();
    own->server_name = name;
    own->shared = false;
    own->parse_tail = tail;
    own->effects = effects;
    return own;
}

session::taken session::on_parse_named(const client_frame& frame, std::string_view name, std::string_view tail) {
    keep(frame.bytes);
    if (const statement_ptr existing = find_statement(name)) {
        // Let the server itself say 42P05, in its own order of errors: the shared name is made to exist there.
        if (!link_->prepared.has(existing)) {
            if (existing->shared) inject_placeholder(existing->server_name);
            else inject_parse(existing);
        }
        ++names_pending_;
        link_->notes.push_back({reply_note::about::client_parse, std::string(name), nullptr, existing, nullptr, 0});
        link_->tracker.push(owed::parse, false, true);
        forward_parse(existing->server_name, tail);
        return taken::yes;
    }
    const std::string_view text(tail.data());
    echo(text);
    const effects_ptr effects = note_hits(text, scan_tokens(text));
    own_executed(effects);
    const statement_ptr statement = make_statement(name, tail, effects);
    if (!within_memory(name.size() + statement->bytes())) return taken::yes;
    names_.emplace(name, statement);
    if (!link_->prepared.has(statement)) {
        if (link_->names_uncertain) inject_close(statement->server_name);
        if (!statement->shared) link_->names_of = names_token_;
        link_->prepared.add(statement);
        ++names_pending_;
        link_->notes.push_back({reply_note::about::client_parse, std::string(name), statement, nullptr, nullptr, 0});
        link_->tracker.push(owed::parse, false, true);
        forward_parse(statement->server_name, tail);
        process_settled();
        return taken::yes;
    }
    link_->prepared.touch(*statement);
    // Whether the transaction has failed is known only when nothing of earlier segments is owed (D14).
    const bool healthy = link_->transaction_status != 'E' && link_->tracker.client_readies_owed() == 0;
    if (!healthy) {
        inject_close(statement->server_name);
        ++names_pending_;
        link_->notes.push_back({reply_note::about::client_parse, std::string(name), statement, nullptr, nullptr, 0});
        link_->notes.back().had_before = true;
        link_->tracker.push(owed::parse, false, true);
        forward_parse(statement->server_name, tail);
        process_settled();
        return taken::yes;
    }
    ++names_pending_;
    link_->notes.push_back({reply_note::about::cached_parse, std::string(name), statement, nullptr, nullptr, 0});
    link_->tracker.push_local();
    process_settled();
    return taken::yes;
}

void session::forward_parse(std::string_view server_name, std::string_view tail) {
    tables_.to_server.copy(parse_frame(server_name, tail));
}

void session::inject_parse(const statement_ptr& statement) {
    if (link_->names_uncertain) inject_close(statement->server_name);
    if (!statement->shared) link_->names_of = names_token_;
    link_->prepared.add(statement);
    own_executed(statement->effects);
    if (statement->by_sql) return inject_prepare(statement);
    ++names_pending_;  // if it is skipped, the next segment must not take it for done
    link_->notes.push_back({reply_note::about::injected_parse, {}, statement, nullptr, nullptr, 0});
    link_->notes.back().in_front = in_front_;
    link_->tracker.push(owed::parse, true);
    forward_parse(statement->server_name, statement->parse_tail);
    process_settled();
}

void session::inject_unnamed() {
    reply_note note{reply_note::about::injected_unnamed, {}, nullptr, nullptr, nullptr, unnamed_token_};
    note.link_token = link_->unnamed_token;
    link_->unnamed_token = unnamed_token_;
    link_->notes.push_back(std::move(note));
    link_->tracker.push(owed::parse, true);
    forward_parse({}, unnamed_tail_);
    process_settled();
}

/// Drops statements over the server's limit, only where no Bind can be waiting for one (P25, P26).
void session::evict_statements() {
    if (link_->prepared.bytes() <= pool_.prepared_bytes || segment_open_ || !link_->tracker.empty()) return;
    for (const statement_ptr& victim : link_->prepared.evict(pool_.prepared_bytes)) inject_close(victim->server_name);
}

void session::inject_close(std::string_view name, reply_note note) {
    link_->notes.push_back(std::move(note));
    link_->tracker.push(owed::close, true);
    std::string out;
    {
        const frame_builder frame(out, frontend::close);
        out += 'S';
        put_cstring(out, name);
    }
    tables_.to_server.copy(out);
    process_settled();
}

/// Before the client's next message names the unnamed statement: the server must hold this client's, or none.
void session::ensure_unnamed() {
    if (link_->unnamed_token == unnamed_token_) return;
    if (unnamed_token_ != 0 && !unnamed_tail_.empty()) return inject_unnamed();
    // Somebody else's must not be bound by mistake; if the Close is skipped, it is still there.
    reply_note note{reply_note::about::client_unnamed, {}, nullptr, nullptr, unnamed_effects_, unnamed_token_};
    note.link_token = link_->unnamed_token;
    link_->unnamed_token = 0;
    inject_close({}, std::move(note));
}

session::taken session::on_bind(const client_frame& frame) {
    std::string_view rest = frame.body();
    std::string_view portal;
    std::string_view name;
    if (!take_cstring(rest, portal) || !take_cstring(rest, name)) {
        violation("invalid message format");
        return taken::yes;
    }
    if (name.empty() ? unnamed_unsettled() : names_unsettled()) return taken::wait;
    evict_statements();
    if (const auto at = names_.find(name); at != names_.end() && frame.whole() && binds_plainly(*at->second))
        return bind_plainly(frame, portal, name, *at->second);
    const statement_ptr statement = name.empty() ? nullptr : find_statement(name);
    if (statement != nullptr ? statement->commits : name.empty() && unnamed_commits_)
        capture_before_commit(segment_open_);
    segment_open_ = true;
    segment_writes_ |= statement != nullptr ? statement->writes : name.empty() && unnamed_writes_;
    if (name.empty()) {
        own_executed(unnamed_effects_);
        ensure_unnamed();
        remember_portal(portal, unnamed_effects_);
        link_->tracker.push(owed::bind);
        send(frame);
        return taken::yes;
    }
    if (statement == nullptr) {  // unknown: the server knows
        remember_portal(portal, nullptr);
        link_->tracker.push(owed::bind);
        send(frame);
        return taken::yes;
    }
    own_executed(statement->effects);
    if (!link_->prepared.touch(*statement)) inject_parse(statement);
    remember_portal(portal, statement->effects);
    link_->tracker.push(owed::bind);
    put_bind_head(frame.total - name.size(), portal, *statement);
    tables_.to_server.view(rest);
    keep(frame.bytes);
    skip_rest_of(frame, true);
    return taken::yes;
}

/// The server has the statement, and nothing is to be known of it but its name.
bool session::binds_plainly(const prepared_statement& statement) {
    return statement.effects == nullptr && !statement.commits && link_->prepared.touch(statement);
}

/// The usual Bind, and what follows for its portal: one piece of output, and one of what is kept.
session::taken session::bind_plainly(const client_frame& frame, std::string_view portal, std::string_view name,
                                     const prepared_statement& statement) {
    segment_open_ = true;
    segment_writes_ |= statement.writes;
    remember_portal(portal, nullptr);
    link_->tracker.push(owed::bind);
    put_bind_head(frame.total - name.size(), portal, statement);
    taken_along_ = take_portal_messages(frame);
    const std::string_view rest = frame.body().substr(portal.size() + name.size() + 2);
    tables_.to_server.view({rest.data(), rest.size() + taken_along_});
    keep({frame.bytes.data(), frame.total + taken_along_});
    skip_rest_of(frame, true);
    return taken::yes;
}

/// `size`: of the client's frame, without the name that its statement has there.
void session::put_bind_head(std::size_t size, std::string_view portal, const prepared_statement& statement) {
    const std::string_view name = statement.server_name;
    char* at = tables_.to_server.room(frame_header_size + portal.size() + name.size() + 2);
    *at++ = frontend::bind;
    at = store_u32(at, static_cast<std::uint32_t>(size - 1 + name.size()));
    at = std::copy(portal.begin(), portal.end(), at);
    *at++ = '\0';
    at = std::copy(name.begin(), name.end(), at);
    *at = '\0';
}

/// Describe and Execute of the unnamed portal, which drivers send behind its Bind: what has been found true of that frame is
/// true of them. How much of the input they are.
std::size_t session::take_portal_messages(const client_frame& bind) {
    constexpr std::string_view describe("D\0\0\0\6P\0", 7);
    constexpr std::string_view execute("E\0\0\0\11\0", 6);
    constexpr std::size_t execute_size = 10;
    const bool each_counts = redoing_ || guarding_ || replaying_ || behind_barrier_ || resuming_ || chained_ ||
                             lost_unannounced_ || (link_->trace.wrote && !link_->trace.asked) ||
                             (extra_ != nullptr && !extra_->portals.empty());
    if (each_counts || !taking_ || offered_.data() != bind.bytes.data()) return 0;
    const std::string_view in = offered_.substr(bind.total);
    for (std::size_t at = 0;;) {
        const std::string_view rest = in.substr(at);
        if (rest.starts_with(describe)) {
            link_->tracker.push(owed::describe);
            at += describe.size();
        } else if (rest.size() >= execute_size && rest.starts_with(execute)) {
            link_->tracker.push(owed::execute);
            at += execute_size;
        } else {
            return at;
        }
    }
}

void session::remember_portal(std::string_view portal, const effects_ptr& effects) {
    if (effects == nullptr && (extra_ == nullptr || extra_->portals.empty())) return;
    auto& portals = more().portals;
    const auto at = portals.find(portal);
    if (effects == nullptr) {
        if (at != portals.end()) portals.erase(at);
    } else if (at != portals.end()) {
        at->second = effects;
    } else {
        portals.emplace(portal, effects);
    }
}

session::taken session::on_describe(const client_frame& frame) {
    char kind = 0;
    std::string_view name;
    if (!take_kind_and_name(frame.body(), kind, name)) {
        violation("invalid message format");
        return taken::yes;
    }
    if (kind == 'S' && (name.empty() ? unnamed_unsettled() : names_unsettled())) return taken::wait;
    segment_open_ = true;
    const statement_ptr statement = kind == 'S' && !name.empty() ? find_statement(name) : nullptr;
    if (kind == 'S' && name.empty()) ensure_unnamed();
    if (statement == nullptr) {
        link_->tracker.push(owed::describe);
        send(frame);
        return taken::yes;
    }
    if (!link_->prepared.has(statement)) inject_parse(statement);
    link_->tracker.push(owed::describe);
    std::string out;
    {
        const frame_builder builder(out, frontend::describe);
        out += 'S';
        put_cstring(out, statement->server_name);
    }
    tables_.to_server.copy(out);
    keep(frame.bytes);
    return taken::yes;
}

session::taken session::on_execute(const client_frame& frame) {
    std::string_view rest = frame.body();
    std::string_view portal;
    if (!take_cstring(rest, portal)) {
        violation("invalid message format");
        return taken::yes;
    }
    segment_open_ = true;
    effects_ptr effects;
    if (extra_ != nullptr && !extra_->portals.empty())
        if (const auto at = extra_->portals.find(portal); at != extra_->portals.end()) effects = at->second;
    if (effects == nullptr) {
        link_->tracker.push(owed::execute);
        send(frame);
        return taken::yes;
    }
    const std::vector<std::string> lent = names_to_lend(*effects);
    lend_names(lent, *effects);
    ++effects_pending_;
    link_->notes.push_back({reply_note::about::execute, {}, nullptr, nullptr, effects, 0});
    link_->tracker.push(owed::execute, false, true);
    send(frame);
    process_settled();
    // Behind the segment's end: if the statement fails, a Close within the segment is skipped.
    if (!lent.empty()) more().lent.insert(more().lent.end(), lent.begin(), lent.end());
    return taken::yes;
}

// A Close with the client's own name is harmless on the server, where that name does not exist, and is
// answered, skipped or refused there in exactly PostgreSQL's way.
session::taken session::on_close(const client_frame& frame) {
    char kind = 0;
    std::string_view name;
    if (!take_kind_and_name(frame.body(), kind, name)) {
        violation("invalid message format");
        return taken::yes;
    }
    if (!name.empty() && names_unsettled()) return taken::wait;
    segment_open_ = true;
    const statement_ptr statement = kind == 'S' && !name.empty() ? find_statement(name) : nullptr;
    if (statement != nullptr) {
        ++names_pending_;
        link_->notes.push_back({reply_note::about::client_close, std::string(name), nullptr, statement, nullptr, 0});
        forget_name(name);
    }
    const bool unnamed = kind == 'S' && name.empty();
    const bool noted = statement != nullptr || (unnamed && note_unnamed());
    if (unnamed) {
        unnamed_tail_.clear();
        unnamed_effects_ = nullptr;
        link_->unnamed_token = unnamed_token_ = 0;
    }
    link_->tracker.push(owed::close, false, noted);
    send(frame);
    process_settled();
    return taken::yes;
}

void session::forget_name(std::string_view name) {
    const auto at = names_.find(name);
    if (at == names_.end()) return;
    names_bytes_ -= std::min(names_bytes_, name.size() + at->second->bytes());
    if (!at->second->shared) forget_own_names();
    names_.erase(at);
}

}  // namespace pgsteady
