// Why a client's connection ended. One enum for the log line, the metric and status.
#pragma once

#include <cstdint>
#include <string_view>

namespace pgsteady {

enum class end_reason : std::uint8_t {
    none,
    client_terminated,  ///< Terminate
    client_gone,        ///< EOF or reset without Terminate
    client_too_slow,    ///< did not sign in within timeouts.login
    login_failed,
    login_refused,       ///< a cap was reached
    protocol_violation,  ///< by the client
    server_violation,    ///< by the server (R13)
    server_lost,         ///< pinned or half-delivered: nothing else could be done (R12)
    server_fatal,        ///< the server ended the session and said why
    idle_timeout,
    transaction_timeout,
    statement_mode,    ///< a transaction block in statement mode
    startup_rejected,  ///< the server refused a startup parameter
    no_server,         ///< none could be had at sign-in (R16)
    cancel_request,    ///< was only a CancelRequest
    shutdown,          ///< the proxy drains (R15)
    killed,            ///< by an operator
    out_of_memory,     ///< a limit in bytes was exceeded
};

[[nodiscard]] constexpr std::string_view to_string(end_reason reason) {
    switch (reason) {
        case end_reason::none: return "none";
        case end_reason::client_terminated: return "client_terminated";
        case end_reason::client_gone: return "client_gone";
        case end_reason::client_too_slow: return "client_too_slow";
        case end_reason::login_failed: return "login_failed";
        case end_reason::login_refused: return "login_refused";
        case end_reason::protocol_violation: return "protocol_violation";
        case end_reason::server_violation: return "server_violation";
        case end_reason::server_lost: return "server_lost";
        case end_reason::server_fatal: return "server_fatal";
        case end_reason::idle_timeout: return "idle_timeout";
        case end_reason::transaction_timeout: return "transaction_timeout";
        case end_reason::statement_mode: return "statement_mode";
        case end_reason::startup_rejected: return "startup_rejected";
        case end_reason::no_server: return "no_server";
        case end_reason::cancel_request: return "cancel_request";
        case end_reason::shutdown: return "shutdown";
        case end_reason::killed: return "killed";
        case end_reason::out_of_memory: return "out_of_memory";
    }
    return "unknown";
}

}  // namespace pgsteady
