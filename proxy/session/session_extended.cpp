// Parse, Bind, Describe, Execute and Close: names of statements are the client's on one side and
// shared ones on the other (P23-P29, D14). See session.hpp.
#include "proxy/session/session.hpp"

#include "protocol/frame.hpp"
#include "protocol/wire.hpp"
#include "proxy/sql/statement_effects.hpp"

namespace pgsteady {

namespace {

/// The first NUL-terminated string of `in`, which is advanced behind it. False: there is none.
bool take_cstring(std::string_view& in, std::string_view& out) {
    const std::size_t end = in.find('\0');
    if (end == std::string_view::npos) return false;
    out = in.substr(0, end);
    in.remove_prefix(end + 1);
    return true;
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

session::taken session::on_parse(const client_frame& frame) {
    std::string_view tail = frame.body();
    std::string_view name;
    if (!take_cstring(tail, name) || (frame.whole() && tail.find('\0') == std::string_view::npos)) {
        violation("invalid message format");
        return taken::yes;
    }
    evict_statements();
    segment_open_ = true;
    if (!frame.whole()) {
        // Too large to share. A name of its own cannot clash with ours, but only this server knows it.
        if (!name.empty()) pins_ |= static_cast<std::uint32_t>(pin_reason::too_large);
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
    const token_hits hits = scan_tokens(text);
    effects_ptr effects = hits.has(needs_parser_mask) ? effects_of(text, hits) : nullptr;
    if (pool_.pin_opaque && hits.has(token_hit::call)) pins_ |= static_cast<std::uint32_t>(pin_reason::opaque);
    unnamed_tail_.assign(tail);
    unnamed_effects_ = effects;
    link_->unnamed_token = unnamed_token_ = tables_.next_token++;
    std::string rewritten;
    statement_ptr deallocated;
    if (effects != nullptr && rewrite_deallocate(effects, rewritten, deallocated)) {
        rewritten += '\0';
        rewritten += tail.substr(text.size() + 1);
        link_->tracker.push(owed::parse);
        tables_.to_server.copy(parse_frame({}, rewritten));
        keep(frame.bytes);
        return taken::yes;
    }
    link_->tracker.push(owed::parse);
    send(frame);
    return taken::yes;
}

session::taken session::on_parse_named(const client_frame& frame, std::string_view name, std::string_view tail) {
    keep(frame.bytes);
    if (const statement_ptr existing = find_statement(name)) {
        // Let the server itself say 42P05, in its own order of errors: the shared name is made to exist there.
        if (!link_->prepared.has(existing)) inject_parse(existing);
        link_->notes.push_back({reply_note::about::client_parse, std::string(name), nullptr, existing, nullptr, 0});
        link_->tracker.push(owed::parse, false, true);
        forward_parse(existing->server_name, tail);
        return taken::yes;
    }
    const std::string_view text(tail.data());
    const token_hits hits = scan_tokens(text);
    const effects_ptr effects = hits.has(needs_parser_mask) ? effects_of(text, hits) : nullptr;
    const statement_ptr statement = tables_.statements.intern(desired_->planner_key(), tail, effects);
    names_.emplace(name, statement);
    if (!link_->prepared.has(statement)) {
        link_->prepared.add(statement);
        link_->notes.push_back({reply_note::about::client_parse, std::string(name), statement, nullptr, nullptr, 0});
        link_->tracker.push(owed::parse, false, true);
        forward_parse(statement->server_name, tail);
        process_settled();
        return taken::yes;
    }
    link_->prepared.touch(statement);
    // Whether the transaction has failed is known only when nothing of earlier segments is owed (D14).
    const bool healthy = link_->transaction_status != 'E' && link_->tracker.client_readies_owed() == 0;
    if (!healthy) {
        link_->notes.push_back({});
        link_->tracker.push(owed::close, true, false);
        std::string close;
        {
            const frame_builder builder(close, frontend::close);
            close += 'S';
            put_cstring(close, statement->server_name);
        }
        tables_.to_server.copy(close);
        link_->notes.push_back({reply_note::about::client_parse, std::string(name), statement, nullptr, nullptr, 0});
        link_->tracker.push(owed::parse, false, true);
        forward_parse(statement->server_name, tail);
        process_settled();
        return taken::yes;
    }
    link_->notes.push_back({reply_note::about::cached_parse, std::string(name), statement, nullptr, nullptr, 0});
    link_->tracker.push_local();
    process_settled();
    return taken::yes;
}

void session::forward_parse(std::string_view server_name, std::string_view tail) {
    tables_.to_server.copy(parse_frame(server_name, tail));
}

void session::inject_parse(const statement_ptr& statement) {
    link_->prepared.add(statement);
    link_->notes.push_back({reply_note::about::injected_parse, {}, statement, nullptr, nullptr, 0});
    link_->tracker.push(owed::parse, true);
    forward_parse(statement->server_name, statement->parse_tail);
    process_settled();
}

void session::inject_unnamed() {
    link_->unnamed_token = unnamed_token_;
    link_->notes.push_back({reply_note::about::injected_unnamed, {}, nullptr, nullptr, nullptr, unnamed_token_});
    link_->tracker.push(owed::parse, true);
    forward_parse({}, unnamed_tail_);
    process_settled();
}

/// Drops statements over the server's limit, only where no Bind can be waiting for one (P25, P26).
void session::evict_statements() {
    if (link_->prepared.bytes() <= pool_.prepared_bytes || segment_open_ || !link_->tracker.empty()) return;
    for (const statement_ptr& victim : link_->prepared.evict(pool_.prepared_bytes)) {
        link_->notes.push_back({});
        link_->tracker.push(owed::close, true);
        std::string out;
        {
            const frame_builder frame(out, frontend::close);
            out += 'S';
            put_cstring(out, victim->server_name);
        }
        tables_.to_server.copy(out);
    }
}

session::taken session::on_bind(const client_frame& frame) {
    std::string_view rest = frame.body();
    std::string_view portal;
    std::string_view name;
    if (!take_cstring(rest, portal) || !take_cstring(rest, name)) {
        violation("invalid message format");
        return taken::yes;
    }
    evict_statements();
    segment_open_ = true;
    if (name.empty()) {
        if (link_->unnamed_token != unnamed_token_ && !unnamed_tail_.empty()) inject_unnamed();
        remember_portal(portal, unnamed_effects_);
        link_->tracker.push(owed::bind);
        send(frame);
        return taken::yes;
    }
    const statement_ptr statement = find_statement(name);
    if (statement == nullptr) {  // unknown, or made by SQL PREPARE: the server knows
        remember_portal(portal, nullptr);
        link_->tracker.push(owed::bind);
        send(frame);
        return taken::yes;
    }
    if (!link_->prepared.has(statement)) inject_parse(statement);
    else link_->prepared.touch(statement);
    remember_portal(portal, statement->effects);
    link_->tracker.push(owed::bind);
    std::string head(1, frontend::bind);
    put_u32(head, static_cast<std::uint32_t>(frame.total - 1 - name.size() + statement->server_name.size()));
    put_cstring(head, portal);
    put_cstring(head, statement->server_name);
    tables_.to_server.copy(head);
    tables_.to_server.view(rest);
    keep(frame.bytes);
    skip_rest_of(frame, true);
    return taken::yes;
}

void session::remember_portal(std::string_view portal, const effects_ptr& effects) {
    if (effects == nullptr && extra_ == nullptr) return;
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
    std::string_view rest = frame.body();
    if (rest.empty()) {
        violation("invalid message format");
        return taken::yes;
    }
    const char kind = rest.front();
    rest.remove_prefix(1);
    std::string_view name;
    if (!take_cstring(rest, name) || (kind != 'S' && kind != 'P')) {
        violation("invalid message format");
        return taken::yes;
    }
    segment_open_ = true;
    const statement_ptr statement = kind == 'S' && !name.empty() ? find_statement(name) : nullptr;
    if (kind == 'S' && name.empty() && link_->unnamed_token != unnamed_token_ && !unnamed_tail_.empty()) inject_unnamed();
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
    if (extra_ != nullptr)
        if (const auto at = extra_->portals.find(portal); at != extra_->portals.end()) effects = at->second;
    if (effects != nullptr) link_->notes.push_back({reply_note::about::execute, {}, nullptr, nullptr, effects, 0});
    link_->tracker.push(owed::execute, false, effects != nullptr);
    send(frame);
    process_settled();
    return taken::yes;
}

// A Close with the client's own name is harmless on the server, where that name does not exist, and is
// answered, skipped or refused there in exactly PostgreSQL's way.
session::taken session::on_close(const client_frame& frame) {
    std::string_view rest = frame.body();
    if (rest.empty()) {
        violation("invalid message format");
        return taken::yes;
    }
    const char kind = rest.front();
    rest.remove_prefix(1);
    std::string_view name;
    if (!take_cstring(rest, name) || (kind != 'S' && kind != 'P')) {
        violation("invalid message format");
        return taken::yes;
    }
    segment_open_ = true;
    const statement_ptr statement = kind == 'S' && !name.empty() ? find_statement(name) : nullptr;
    if (statement != nullptr) {
        link_->notes.push_back({reply_note::about::client_close, std::string(name), nullptr, statement, nullptr, 0});
        forget_name(name);
    }
    link_->tracker.push(owed::close, false, statement != nullptr);
    send(frame);
    process_settled();
    return taken::yes;
}

void session::forget_name(std::string_view name) {
    if (const auto at = names_.find(name); at != names_.end()) names_.erase(at);
}

/// DEALLOCATE of a name that the protocol prepared (P28): the text gets the name that the server knows.
/// A server without that statement gets an empty one under its name first, so that it answers as expected.
bool session::rewrite_deallocate(const effects_ptr& effects, std::string& text, statement_ptr& statement) {
    if (!effects->parsed || effects->statements != 1 || effects->deallocates.size() != 1) return false;
    statement = find_statement(effects->deallocates.front().name);
    if (statement == nullptr) return false;
    if (!link_->prepared.has(statement)) {
        link_->notes.push_back({});
        link_->tracker.push(owed::parse, true);
        forward_parse(statement->server_name, std::string_view("\0\0\0", 3));
        process_settled();
    }
    text = "DEALLOCATE " + quote_identifier(statement->server_name);
    return true;
}

}  // namespace pgsteady
