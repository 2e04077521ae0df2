// What the shell does for one client (proxy/worker/client_connection), without sockets: its bytes go through a session to
// whatever server the pool gives it; pauses, the result hold and the wait for a role happen in virtual time. For tests.
#pragma once

#include "proxy/policy/answer_hold.hpp"
#include "proxy/policy/replay_barrier.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/session/session.hpp"

#include "tests/simulation/virtual_time.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pgsteady::simulation {

class world;

/// A connection of the pool: what the proxy knows of it, its two directions, and the backend at the other end.
struct simulated_server : pooled_server {
    server_link link;
    model_host* host = nullptr;
    model_backend* backend = nullptr;
    std::unique_ptr<byte_line> up;    ///< to the backend
    std::unique_ptr<byte_line> down;  ///< from it
    std::string arrived;              ///< offered to the session, not yet used
    class simulated_client* client = nullptr;
    std::size_t worker = 0;     ///< whose pool it is in
    bool closed = false;        ///< the proxy has no use for it any more
    bool backend_told = false;  ///< the end of the backend is on its way to the proxy
};

class simulated_client : public pool_waiter {
public:
    simulated_client(world& at, std::int32_t number, const parameter_list& startup);
    ~simulated_client();
    simulated_client(const simulated_client&) = delete;
    simulated_client& operator=(const simulated_client&) = delete;

    void begin();
    /// Bytes of the application have arrived at the proxy.
    void take(std::string_view bytes);
    /// The application is gone.
    void vanish();
    /// Offers the session what its server has said.
    void server_bytes();
    void server_lost(std::string_view words);
    /// What its server says is left with it (client_held_answer.cpp); of one that has ended, only its farewell counts.
    [[nodiscard]] bool holding_answer() const { return answer_hold_.on(); }
    void take_farewell();
    /// It is taken, if it need not be held any longer.
    void look_at_held_answer();
    /// Its transaction is interrupted for another one's sake, if nobody has been told what its server has said last.
    void give_way();
    void grant(simulated_server& server);
    void refuse(const error_fields& why);
    /// What was under way in its transaction may be sent (D30).
    void pass_barrier();
    /// False once it is gone.
    [[nodiscard]] const std::shared_ptr<bool>& life() const { return alive_; }

    std::unique_ptr<byte_line> to_app;
    std::unique_ptr<byte_line> from_app;
    bool closed = false;
    session conversation;
    simulated_server* server = nullptr;
    replay_barrier::number barrier_number = 0;
    std::size_t worker = 0;  ///< of the world's

private:
    void offer_pending();
    void converse(std::string_view in);
    bool act();
    void take_requests_back(const session_actions& asked);
    void wait_for_fence();
    [[nodiscard]] bool hold_answer();
    void look_again();
    void claim_rows_in(std::chrono::milliseconds pause);
    void take_server_bytes();
    void watch_result();
    void ask_role();
    request_report note_requests();
    void look_at_barrier(const request_report& done);
    void begin_replay(bool pauses);
    void attach(simulated_server& given);
    void flush();
    void close(bool flushed);

    world& world_;
    parameter_list startup_;
    std::string pending_;
    pool_time failed_since_{};
    std::uint64_t pause_ = 0;  // number of the one under way
    bool pausing_ = false;
    bool fencing_ = false;  // nothing is sent again before the lost backend is gone
    bool keeping_ = false;
    std::uint64_t hold_ = 0;
    std::uint64_t doubt_ = 0;  // number of the pause between two questions
    bool awaiting_role_ = false;
    answer_hold answer_hold_;
    std::uint64_t held_ = 0;  // number of the one under way
    pool_time held_at_most_{};
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace pgsteady::simulation
