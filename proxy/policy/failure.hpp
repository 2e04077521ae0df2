// The signal of a failure: an ErrorResponse or the end of a connection goes in, a failure_kind comes out (recovery.md 2.9).
// What it means is for recovery_verdict to say, and logs, metrics, status and breakers go by that alone. Pure.
#pragma once

#include "protocol/error_response.hpp"

#include <cstdint>
#include <string_view>

namespace pgsteady {

enum class failure_kind : std::uint8_t {
    none,
    closed,                ///< EOF without a word
    reset,                 ///< RST, broken pipe
    refused,               ///< nobody listens there
    timed_out,             ///< no answer within the deadline
    unreachable,           ///< no route, or the name has no address
    tls_failed,            ///< handshake or certificate
    admin_shutdown,        ///< 57P01: this backend, or the whole server, was told to end
    crash_shutdown,        ///< 57P02: another server process crashed
    not_ready,             ///< 57P03: starting up, shutting down, in recovery
    too_many_connections,  ///< 53300: overloaded, not down
    login_refused,         ///< class 28, 3D000
    session_ended,         ///< 57P05, 25P03, 57P04: the server's own policy ended this session
    read_only,             ///< 25006: not a primary (any more)
    out_of_resources,      ///< 53xxx otherwise, 58030
    protocol_violation,    ///< 08P01, or a message that nothing we sent explains
    statement_error,       ///< everything that is the statement's own affair
};

[[nodiscard]] std::string_view to_string(failure_kind kind);

/// How an ErrorResponse is to be taken, by SQLSTATE alone: texts are translated and change.
[[nodiscard]] failure_kind classify(const error_fields& why);

/// How the end of a connection is to be taken. `error_number`: errno, 0 for an orderly EOF.
[[nodiscard]] failure_kind classify_io(int error_number, bool tls);

}  // namespace pgsteady
