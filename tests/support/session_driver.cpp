// See session_driver.hpp.
#include "tests/support/session_driver.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace pgsteady::testing {

// ------------------------------------------------------------------------------------------ world

session_world::session_world(std::size_t count, session_mode mode) : tables(0) {
    facts.mode = mode;
    for (std::size_t i = 0; i < count; ++i) {
        servers.push_back(std::make_unique<world_server>());
        replace(*servers.back());
    }
}

session_world::~session_world() = default;

void session_world::replace(world_server& server) {
    server = world_server();
    server.process = std::make_unique<scripted_server>(database);
    server.link.applied = tables.settings.none();
    server.link.life = life;
    server.link.may_capture = server.link.may_rewrite = true;
    const auto reported = server.process->reported();
    server.link.reported = tables.reported.of({reported.begin(), reported.end()});
}

world_server* session_world::take() {
    for (std::size_t tries = 0; tries < servers.size(); ++tries) {
        world_server& candidate = *servers[next_++ % servers.size()];
        if (candidate.taken) continue;
        if (before_grant) before_grant(candidate);
        candidate.taken = true;
        return &candidate;
    }
    return nullptr;
}

// As the shell does it: what is reused must be as clean as it claims to be.
void session_world::give_back(world_server& server, session_actions::release how) {
    server.taken = false;
    if (how == session_actions::release::discard) {
        server.process->disconnect();
        return replace(server);
    }
    const bool clean = server.link.at_rest() && server.link.notes.empty() && server.said.empty() &&
                       server.arrived.empty() && !server.process->in_transaction();
    if (!clean) FAIL_CHECK("a server was given back that is not at rest");
    if (how == session_actions::release::reset) {
        ++resets;
        replace(server);
        return;
    }
    if (!server.process->channels().empty()) FAIL_CHECK("a server was given back that listens");
    if (server.process->has_temporary_tables()) FAIL_CHECK("a server was given back with temporary tables");
}

std::string_view session_world::pass_input(std::string_view bytes) {
    return pass(bytes, plan.after_input, input_bytes);
}

std::string_view session_world::pass_output(std::string_view bytes) {
    return pass(bytes, plan.after_output, output_bytes);
}

std::string_view session_world::pass(std::string_view bytes, std::size_t& after, std::size_t& counted) {
    if (lose_now) return {};
    const std::size_t left = std::min(after - std::min(after, counted), until_again_);
    counted += bytes.size();
    if (bytes.size() < left) {
        if (until_again_ != loss_plan::never) until_again_ -= bytes.size();
        return bytes;
    }
    // The first loss starts the count to the second; the second ends it.
    until_again_ = until_again_ == loss_plan::never ? plan.again_after : loss_plan::never;
    if (until_again_ == loss_plan::never) plan.again_after = loss_plan::never;
    plan.after_input = plan.after_output = loss_plan::never;
    lose_now = true;
    return bytes.substr(0, left);
}

void session_world::calm() {
    plan = {};
    until_again_ = loss_plan::never;
}

void session_world::outlive(world_server& server, std::string bytes) {
    outliving_.emplace_back(std::move(server.process), std::move(bytes));
    server.process = std::make_unique<scripted_server>(database);  // stands in until the place is given back
}

void session_world::finish_lost_servers() {
    for (auto& [process, bytes] : outliving_) {
        (void)process->feed(bytes);
        process->disconnect();
    }
    outliving_.clear();
}

// ------------------------------------------------------------------------------------------ one client

session_driver::session_driver(session_world& world, const scripted_server::startup_list& startup)
    : conversation(world.tables, world.facts, 4711, "key!"), world_(world) {
    conversation.begin(startup);
    run();
    welcome = received();
}

session_driver::~session_driver() {
    if (!closed) vanish();
}

void session_driver::send(std::string_view bytes) {
    while (!bytes.empty() && !closed) {
        std::size_t piece = std::min(bytes.size(), client_piece);
        if (first_client_piece > 0) piece = std::min(bytes.size(), std::exchange(first_client_piece, 0));
        unread_ += bytes.substr(0, piece);
        bytes.remove_prefix(piece);
        run();
    }
}

void session_driver::vanish() {
    if (closed) return;
    conversation.on_client_gone();
    flush();
    closed = true;
    (void)act();
}

void session_driver::run() {
    grants_ = 0;
    for (bool moved = true; moved;) {
        flush();
        moved = act();
        if (closed) return;
        if (world_.lose_now) {
            world_.lose_now = false;
            ++world_.losses;
            if (server != nullptr) say_last_words();
            if (server != nullptr) lose_server();
            moved = true;
            continue;
        }
        moved = offer_client() || moved;
        moved = act() || moved;
        if (closed) return;
        moved = deliver() || moved || world_.lose_now;
        moved = act() || moved;
        if (closed) return;
        if (server != nullptr && server->process->closed() && server->said.empty() && !world_.lose_now) {
            lose_server();
            moved = true;
        }
    }
}

bool session_driver::offer_client() {
    if (unread_.empty() || conversation.ended()) return false;
    const std::size_t used = conversation.on_client_bytes(unread_);
    if (used > unread_.size()) FAIL("the session used more than it was given");
    flush();
    unread_.erase(0, used);
    return used > 0;
}

bool session_driver::deliver() {
    if (server == nullptr || server->said.empty() || world_.lose_now || conversation.awaits_role()) return false;
    std::size_t piece = std::min(server->said.size(), server_piece);
    if (first_server_piece > 0) piece = std::min(server->said.size(), std::exchange(first_server_piece, 0));
    piece = std::min(piece, lets_through);
    if (piece == 0) return false;
    if (lets_through != loss_plan::never) lets_through -= piece;
    const std::string_view through = world_.pass_output(std::string_view(server->said).substr(0, piece));
    server->arrived += through;
    server->said.erase(0, piece);
    if (server->arrived.empty()) return true;
    world_server& from = *server;
    const std::size_t used = conversation.on_server_bytes(from.arrived);
    if (used > from.arrived.size()) FAIL("the session used more than it was given");
    flush();
    from.arrived.erase(0, used);
    return true;
}

void session_driver::flush() {
    received_ += world_.tables.to_client.str();
    const std::string bytes = world_.tables.to_server.str();
    world_.tables.to_client.clear();
    world_.tables.to_server.clear();
    if (bytes.empty()) return;
    if (server == nullptr) FAIL("output for a server that nobody has");
    const std::string_view through = world_.pass_input(bytes);
    if (world_.lose_now && world_.plan.late) return world_.outlive(*server, std::string(through));
    server->said += server->process->feed(through);
}

void session_driver::say_last_words() {
    if (world_.last_words.empty()) return;
    server->arrived += std::exchange(world_.last_words, {});
    (void)conversation.on_server_bytes(server->arrived);
    flush();
}

void session_driver::tell_role(bool changed) {
    conversation.on_role(changed);
    world_server& from = *server;
    const std::size_t used = conversation.on_server_bytes(from.arrived);
    flush();  // views of what is erased next
    from.arrived.erase(0, used);
    run();
}

void session_driver::lose_server(std::string_view words) {
    server->said.clear();
    const bool ended = conversation.ended();
    conversation.on_server_lost(words, "test-1");
    flush();
    (void)act();
    if (ended && server != nullptr)
        world_.give_back(*std::exchange(server, nullptr), session_actions::release::discard);
}

bool session_driver::act() {
    const session_actions asked = conversation.take_actions();
    bool changed = false;
    listens_later |= asked.listen_later;
    if (asked.ask_later) {
        ++asked_later;
        if (patient) conversation.resume_resolving(), changed = true;
    }
    listener_asked += asked.sync_listener;
    if (asked.sync_listener && listener_answers) conversation.on_listener(nullptr), changed = true;
    roles_asked += asked.asks_role;
    not_primary_told += asked.not_primary;
    if (asked.take_back) {
        unread_.insert(0, conversation.take_requests_back());
        changed = true;
    }
    if (asked.give_back != session_actions::release::no) {
        if (server == nullptr) FAIL("nothing to give back");
        world_.give_back(*std::exchange(server, nullptr), asked.give_back);
        changed = true;
    }
    if (asked.close_client) {
        closed = true;
        reason = asked.reason;
        if (server != nullptr) {
            conversation.on_client_gone();
            const session_actions last = conversation.take_actions();
            if (last.give_back == session_actions::release::no) FAIL("the server is kept by a client that has left");
            world_.give_back(*std::exchange(server, nullptr), last.give_back);
        }
        return true;
    }
    if ((asked.want_server || (conversation.waiting() && server == nullptr)) && !starved) {
        if (server != nullptr) FAIL("a second server is wanted");
        world_server* given = only != nullptr ? only : world_.take();
        if (given == nullptr) return changed;
        if (++grants_ > 1000) {
            std::string wants;
            for (const auto& [name, value] : conversation.desired()->entries()) wants += name + '=' + value + ' ';
            FAIL("the session never comes to rest; settings: " << wants << "unread: " << unread_.substr(0, 100));
        }
        server = given;
        server->taken = true;
        conversation.on_server(server->link);
        flush();
        return true;
    }
    return changed;
}

}  // namespace pgsteady::testing
