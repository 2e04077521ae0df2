// Sessions on scripted servers, in memory: a pool whose servers change hands as unkindly as possible.
// session_world owns what a worker would own (tables, pool facts, servers); session_driver is one client's
// side: what it sends goes through a session to whatever server it is given, what comes back is kept.
// Losses are planned in bytes, so that a test can go through all of them. For tests.
#pragma once

#include "proxy/session/session.hpp"

#include "tests/support/scripted_server.hpp"

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsteady::testing {

/// One server of the pool: the scripted one behind it, what is known of it, what it has said and is not yet delivered.
struct world_server {
    std::unique_ptr<scripted_server> process;
    server_link link;
    std::string said;     ///< on its way
    std::string arrived;  ///< offered to the session, not yet used
    bool taken = false;
};

/// When the next server is lost: after so many bytes in all have left the servers, or have reached them.
struct loss_plan {
    static constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
    std::size_t after_output = never;
    std::size_t after_input = never;
    /// And once more, so many bytes of either direction after the first loss: the next server dies, too.
    std::size_t again_after = never;
    /// What had reached the lost server by the last write is executed only when the test calls finish_lost_servers():
    /// long after the client has been answered (T5, P: zombies commit).
    bool late = false;
};

class session_driver;

class session_world {
public:
    explicit session_world(std::size_t servers = 1, session_mode mode = session_mode::transaction);
    ~session_world();

    /// A server that nobody has: always the next one in turn. Null if all are taken.
    [[nodiscard]] world_server* take();
    void give_back(world_server& server, session_actions::release how);
    /// Puts a fresh process in its place.
    void replace(world_server& server);
    /// The bytes that still get through, of these; the loss is due when fewer do.
    [[nodiscard]] std::string_view pass_input(std::string_view bytes);
    [[nodiscard]] std::string_view pass_output(std::string_view bytes);
    /// The server's process goes on by itself, with these bytes before it.
    void outlive(world_server& server, std::string bytes);
    /// No more losses.
    void calm();
    /// Servers that outlived their connection execute what they had received, and find that nobody is there.
    void finish_lost_servers();

    scripted_database database;
    incarnation life{1'000'000, std::nullopt, 500, 1, "7001"};  ///< of servers that are put in place from now on
    session_tables tables;
    pool_facts facts;
    std::vector<std::unique_ptr<world_server>> servers;
    loss_plan plan;
    std::size_t input_bytes = 0;
    std::size_t output_bytes = 0;
    std::size_t losses = 0;
    std::string last_words;  ///< what the server that is lost next says behind the bytes that still get through
    std::size_t resets = 0;
    /// Called with a server before it goes to the client under test: noise.
    std::function<void(world_server&)> before_grant;
    bool lose_now = false;

private:
    std::string_view pass(std::string_view bytes, std::size_t& after, std::size_t& counted);

    std::size_t next_ = 0;
    std::size_t until_again_ = loss_plan::never;
    std::vector<std::pair<std::unique_ptr<scripted_server>, std::string>> outliving_;
};

class session_driver {
public:
    explicit session_driver(session_world& world, const scripted_server::startup_list& startup = {});
    ~session_driver();
    session_driver(const session_driver&) = delete;
    session_driver& operator=(const session_driver&) = delete;

    /// Gives the session bytes of the client, in pieces of `client_piece`, and lets everything run until it rests.
    void send(std::string_view bytes);
    void vanish();

    /// What the client has received since the last call.
    [[nodiscard]] std::string received() { return std::exchange(received_, {}); }
    /// Sends, and returns what came back.
    [[nodiscard]] std::string ask(std::string_view bytes) {
        send(bytes);
        return received();
    }

    /// Sizes of the pieces in which bytes arrive. `first_*`: the size of the very first piece, once.
    std::size_t client_piece = loss_plan::never;
    std::size_t server_piece = loss_plan::never;
    std::size_t first_client_piece = 0;
    std::size_t first_server_piece = 0;
    /// So many bytes of what servers say arrive; then they seem to be silent.
    std::size_t lets_through = loss_plan::never;
    /// No server is to be had: requests wait.
    bool starved = false;
    /// It has asked for another try to listen, after a pause.
    bool listens_later = false;
    /// How often it has asked for the shared listener, which answers at once, or when the test does.
    std::size_t listener_asked = 0;
    bool listener_answers = true;
    /// How often it wanted to wait and ask once more what became of a COMMIT. While patient, it need not wait.
    std::size_t asked_later = 0;
    bool patient = true;
    void ask_again() {
        conversation.resume_resolving();
        run();
    }
    /// The server to be given next, whatever the turn (noise).
    world_server* only = nullptr;

    session conversation;
    world_server* server = nullptr;
    std::string welcome;  ///< what it received at sign-in
    bool closed = false;
    end_reason reason = end_reason::none;

    void run();
    void lose_server(std::string_view words = {});

    /// How often the session wanted to know whether its server is the primary (D21), and said that it is not.
    std::size_t roles_asked = 0;
    std::size_t not_primary_told = 0;
    /// The answer; what it had not taken is offered again.
    void tell_role(bool changed);

private:
    void flush();
    void say_last_words();
    bool act();
    bool offer_client();
    bool deliver();

    session_world& world_;
    std::string unread_;  // of the client, not yet used by the session
    std::string received_;
    std::size_t grants_ = 0;  // since the last send()
};

}  // namespace pgsteady::testing
