// What a failure means, in one word and six facts: from (what happened, in which phase, severity, SQLSTATE) to a named
// verdict that logs, metrics, status and breakers share (recovery.md 2.9, 2.12, D22). About the failure alone: what becomes of a request
// that was under way is the session's to decide. Pure.
// Clients can have the server say almost anything by RAISE, and a foreign server's codes come through as ours. So what
// is no FATAL and came while a client's statement ran convicts nobody, unless the C function that said it does.
#pragma once

#include "protocol/error_response.hpp"

#include "proxy/policy/failure.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pgsteady {

/// What the server connection was doing.
enum class failure_phase : std::uint8_t {
    dialling,     ///< from connect to the end of sign-in and set-up
    resting,      ///< idle in the pool
    unsent,       ///< a client has it, and nothing of the request has left whole (phase B)
    statement,    ///< something was sent outside of a transaction block
    transaction,  ///< in a transaction block, COMMIT not sent
    committing,   ///< COMMIT or its like was sent
};
[[nodiscard]] std::string_view to_string(failure_phase phase);

enum class verdict_name : std::uint8_t {
    none,
    connection_lost,   ///< ended without a word
    host_refuses,      ///< nobody listens there
    no_answer,         ///< within the deadline
    host_unreachable,  ///< no route, or its name has no address
    tls_failed,
    backend_terminated,  ///< FATAL 57P01: this one backend, as far as one message can tell
    server_stopping,     ///< immediate shutdown
    server_crashed,      ///< and recovers in place
    server_not_ready,    ///< 57P03
    server_full,         ///< 53300 at sign-in
    login_refused,
    session_ended,      ///< by the server's own policy: 57P05, 25P03
    database_dropped,   ///< 57P04
    recovery_conflict,  ///< a standby ended the session for the sake of replay
    session_failed,     ///< FATAL for any other reason
    client_violation,   ///< FATAL of class 08: the client broke the protocol
    server_violation,   ///< the server did
    committed_locally,  ///< the wait for a synchronous standby was cut short: durable here, perhaps not there
    not_writable,       ///< 25006: no primary, or the role's own setting (D21)
    storage_failing,    ///< 53100 or 58030 by PostgreSQL's storage manager
    out_of_resources,   ///< of class 53 otherwise
    conflict,           ///< 40001, 40P01: rolled back by PostgreSQL itself
    statement_failed,   ///< the statement's own affair: never retried, trips nothing (D22, T24)
};
[[nodiscard]] std::string_view to_string(verdict_name name);
inline constexpr std::size_t verdict_count = static_cast<std::size_t>(verdict_name::statement_failed) + 1;

/// What a failure says about the host it came from.
enum class host_effect : std::uint8_t {
    none,   ///< nothing: the host works, or the fault is elsewhere (T23, T24)
    burst,  ///< nothing by itself, much if several sessions see it within a second: one backend was terminated, or all
    counted,  ///< one failure on the way to the breaker's threshold
    held,     ///< the host says itself that it serves nobody for now: left alone at once, and asked again soon
};
[[nodiscard]] std::string_view to_string(host_effect effect);

/// What may be worth another try. Whether it is allowed is for the session to find out.
enum class retry_class : std::uint8_t {
    none,
    connection,  ///< on another connection
    conflict,    ///< on the same one, with retry.conflicts
    role,        ///< once, if the monitor has found another primary (D21)
};
[[nodiscard]] std::string_view to_string(retry_class retry);

struct failure_signal {
    failure_kind kind = failure_kind::none;  ///< by classify() or classify_io()
    failure_phase phase = failure_phase::dialling;
    // Of the server's message; empty if the connection ended without one, or if the finding is ours.
    std::string_view severity{};
    std::string_view sqlstate{};
    std::string_view routine{};  ///< field 'R': the C function that said it; not translated, and no SQL can forge it
};

/// Views into `said`.
[[nodiscard]] failure_signal signal_of(const error_fields& said, failure_phase phase);

struct recovery_verdict {
    verdict_name name = verdict_name::none;
    host_effect host = host_effect::none;
    bool strikes_writes = false;   ///< three within ten seconds close the way for writes (2.12)
    bool connection_over = false;  ///< the connection has ended or will in a moment
    /// If nothing is retried the client gets the server's own message. False: one of client_errors, or nothing.
    bool forward = false;
    retry_class retry = retry_class::none;
    /// Nobody of this pool will get in (class 28, 3D000, …): counts against the pool, which is a scope of its own (2.12).
    bool strikes_pool = false;

    /// Something has failed.
    [[nodiscard]] explicit operator bool() const { return name != verdict_name::none; }
    bool operator==(const recovery_verdict&) const = default;
};

[[nodiscard]] recovery_verdict judge(const failure_signal& signal);
/// Of what the server has not put into words, or of a finding of our own.
[[nodiscard]] recovery_verdict judge(failure_kind kind, failure_phase phase);

}  // namespace pgsteady
