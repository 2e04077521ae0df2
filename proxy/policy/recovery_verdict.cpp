// See recovery_verdict.hpp. First the name, then what the name means, then what the phase changes about it.
#include "proxy/policy/recovery_verdict.hpp"

#include "protocol/sqlstate.hpp"

namespace pgsteady {

namespace {

enum class weight : std::uint8_t { no_message, notice, error, fatal, panic };

weight weight_of(std::string_view severity) {
    if (severity.empty()) return weight::no_message;
    if (severity == "ERROR") return weight::error;
    if (severity == "FATAL") return weight::fatal;
    if (severity == "PANIC") return weight::panic;
    return weight::notice;
}

// The functions behind a backend's last WARNING: quickdie() (postgres.c) and SyncRepWaitForLSN() (syncrep.c).
verdict_name name_of_notice(const failure_signal& signal) {
    const bool last_words = signal.routine == "quickdie";
    if (last_words && signal.kind == failure_kind::crash_shutdown) return verdict_name::server_crashed;
    if (last_words && signal.kind == failure_kind::admin_shutdown) return verdict_name::server_stopping;
    if (signal.routine == "SyncRepWaitForLSN" && signal.kind == failure_kind::admin_shutdown)
        return verdict_name::committed_locally;
    return verdict_name::none;
}

// An error of a statement, which any client can make up; storage errors are believed if md.c says so itself.
verdict_name name_of_error(const failure_signal& signal) {
    const std::string_view code = signal.sqlstate;
    if (signal.kind == failure_kind::read_only) return verdict_name::not_writable;
    if (code == sqlstate::serialization_failure || code == sqlstate::deadlock_detected) return verdict_name::conflict;
    if ((code == sqlstate::disk_full || code == sqlstate::io_error) && signal.routine.starts_with("md"))
        return verdict_name::storage_failing;
    if (signal.kind == failure_kind::out_of_resources) return verdict_name::out_of_resources;
    return verdict_name::statement_failed;
}

// Beside class 28 and 3D000: no right to connect (42501), a database that admits nobody (55000), a startup parameter that
// the server does not know or take (42704, 22023, 0A000). Measured, but for 55000 and 0A000; trying again changes nothing.
bool refuses_login(std::string_view code) {
    for (const char* of_class : {"0A", "22", "42", "55"})
        if (sqlstate::is_class(code, of_class)) return true;
    return false;
}

// FATAL at work, anything while signing in, or the end of a connection.
verdict_name name_of_end(const failure_signal& signal) {
    switch (signal.kind) {
        case failure_kind::none: return verdict_name::none;
        case failure_kind::closed:
        case failure_kind::reset: return verdict_name::connection_lost;
        case failure_kind::refused: return verdict_name::host_refuses;
        case failure_kind::timed_out: return verdict_name::no_answer;
        case failure_kind::unreachable: return verdict_name::host_unreachable;
        case failure_kind::tls_failed: return verdict_name::tls_failed;
        case failure_kind::admin_shutdown: return verdict_name::backend_terminated;
        case failure_kind::crash_shutdown: return verdict_name::server_crashed;
        case failure_kind::not_ready: return verdict_name::server_not_ready;
        case failure_kind::too_many_connections: return verdict_name::server_full;
        case failure_kind::login_refused: return verdict_name::login_refused;
        case failure_kind::session_ended:
            return signal.sqlstate == sqlstate::database_dropped ? verdict_name::database_dropped
                                                                 : verdict_name::session_ended;
        case failure_kind::protocol_violation:
            return signal.severity.empty() ? verdict_name::server_violation : verdict_name::client_violation;
        case failure_kind::read_only:
        case failure_kind::out_of_resources:
        case failure_kind::statement_error: break;
    }
    if (signal.phase == failure_phase::dialling && refuses_login(signal.sqlstate)) return verdict_name::login_refused;
    if (sqlstate::is_class(signal.sqlstate, "40")) return verdict_name::recovery_conflict;
    return verdict_name::session_failed;
}

verdict_name name_of(const failure_signal& signal) {
    const weight said = weight_of(signal.severity);
    if (said == weight::panic) return verdict_name::server_crashed;
    if (said == weight::notice) return name_of_notice(signal);
    if (said == weight::error && signal.phase != failure_phase::dialling) return name_of_error(signal);
    return name_of_end(signal);
}

recovery_verdict meaning_of(verdict_name name) {
    using enum host_effect;
    constexpr bool yes = true;
    constexpr bool no = false;
    //                                     host     writes over forward  retry
    switch (name) {
        case verdict_name::none: return {name, none, no, no, yes, retry_class::none};
        case verdict_name::connection_lost: return {name, counted, no, yes, no, retry_class::connection};
        case verdict_name::host_refuses: return {name, counted, no, yes, no, retry_class::connection};
        case verdict_name::no_answer: return {name, counted, no, yes, no, retry_class::connection};
        case verdict_name::host_unreachable: return {name, counted, no, yes, no, retry_class::connection};
        case verdict_name::tls_failed: return {name, counted, no, yes, no, retry_class::connection};
        case verdict_name::backend_terminated: return {name, burst, no, yes, no, retry_class::connection};
        case verdict_name::server_stopping: return {name, held, no, yes, no, retry_class::connection};
        case verdict_name::server_crashed: return {name, held, no, yes, no, retry_class::connection};
        case verdict_name::server_not_ready: return {name, held, no, yes, no, retry_class::connection};
        case verdict_name::server_full: return {name, none, no, yes, no, retry_class::connection};
        case verdict_name::login_refused: return {name, none, no, yes, yes, retry_class::none};
        case verdict_name::session_ended: return {name, none, no, yes, no, retry_class::none};
        case verdict_name::database_dropped: return {name, none, no, yes, yes, retry_class::none};
        case verdict_name::recovery_conflict: return {name, none, no, yes, no, retry_class::connection};
        case verdict_name::session_failed: return {name, none, no, yes, no, retry_class::connection};
        case verdict_name::client_violation: return {name, none, no, yes, yes, retry_class::none};
        case verdict_name::server_violation: return {name, none, no, yes, no, retry_class::none};
        case verdict_name::committed_locally: return {name, none, no, yes, no, retry_class::none};
        case verdict_name::not_writable: return {name, none, no, no, yes, retry_class::role};
        case verdict_name::storage_failing: return {name, none, yes, no, yes, retry_class::none};
        case verdict_name::out_of_resources: return {name, none, no, no, yes, retry_class::none};
        case verdict_name::conflict: return {name, none, no, no, yes, retry_class::conflict};
        case verdict_name::statement_failed: return {name, none, no, no, yes, retry_class::none};
    }
    return {};
}

}  // namespace

failure_signal signal_of(const error_fields& said, failure_phase phase) {
    failure_signal signal{classify(said), phase, said.severity, said.sqlstate, {}};
    for (const auto& [code, value] : said.others)
        if (code == 'R') signal.routine = value;
    return signal;
}

recovery_verdict judge(const failure_signal& signal) {
    recovery_verdict verdict = meaning_of(name_of(signal));
    switch (signal.phase) {
        case failure_phase::dialling: verdict.strikes_pool = verdict.name == verdict_name::login_refused; break;
        case failure_phase::resting:
            verdict.retry = retry_class::none;
            verdict.forward = false;  // to whom?
            // Firewalls forget idle connections: only several at once say something about the host.
            if (verdict.name == verdict_name::connection_lost) verdict.host = host_effect::burst;
            break;
        case failure_phase::unsent:
            // Its timeout ran out as the client's request was on its way: the request goes elsewhere (phase B).
            if (verdict.name == verdict_name::session_ended) verdict.retry = retry_class::connection;
            break;
        case failure_phase::statement: break;
        case failure_phase::transaction:
        case failure_phase::committing:
            verdict.retry = retry_class::none;  // a part of a transaction is never sent again by itself (T10, D23)
            break;
    }
    return verdict;
}

recovery_verdict judge(failure_kind kind, failure_phase phase) {
    return judge(failure_signal{kind, phase, {}, {}, {}});
}

std::string_view to_string(host_effect effect) {
    switch (effect) {
        case host_effect::none: return "none";
        case host_effect::burst: return "burst";
        case host_effect::counted: return "counted";
        case host_effect::held: return "held";
    }
    return "unknown";
}

std::string_view to_string(failure_phase phase) {
    switch (phase) {
        case failure_phase::dialling: return "dialling";
        case failure_phase::resting: return "resting";
        case failure_phase::unsent: return "unsent";
        case failure_phase::statement: return "statement";
        case failure_phase::transaction: return "transaction";
        case failure_phase::committing: return "committing";
    }
    return "unknown";
}

std::string_view to_string(verdict_name name) {
    switch (name) {
        case verdict_name::none: return "none";
        case verdict_name::connection_lost: return "connection_lost";
        case verdict_name::host_refuses: return "host_refuses";
        case verdict_name::no_answer: return "no_answer";
        case verdict_name::host_unreachable: return "host_unreachable";
        case verdict_name::tls_failed: return "tls_failed";
        case verdict_name::backend_terminated: return "backend_terminated";
        case verdict_name::server_stopping: return "server_stopping";
        case verdict_name::server_crashed: return "server_crashed";
        case verdict_name::server_not_ready: return "server_not_ready";
        case verdict_name::server_full: return "server_full";
        case verdict_name::login_refused: return "login_refused";
        case verdict_name::session_ended: return "session_ended";
        case verdict_name::database_dropped: return "database_dropped";
        case verdict_name::recovery_conflict: return "recovery_conflict";
        case verdict_name::session_failed: return "session_failed";
        case verdict_name::client_violation: return "client_violation";
        case verdict_name::server_violation: return "server_violation";
        case verdict_name::committed_locally: return "committed_locally";
        case verdict_name::not_writable: return "not_writable";
        case verdict_name::storage_failing: return "storage_failing";
        case verdict_name::out_of_resources: return "out_of_resources";
        case verdict_name::conflict: return "conflict";
        case verdict_name::statement_failed: return "statement_failed";
    }
    return "unknown";
}

std::string_view to_string(retry_class retry) {
    switch (retry) {
        case retry_class::none: return "none";
        case retry_class::connection: return "connection";
        case retry_class::conflict: return "conflict";
        case retry_class::role: return "role";
    }
    return "unknown";
}

}  // namespace pgsteady
