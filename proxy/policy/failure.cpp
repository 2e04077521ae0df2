// See failure.hpp. The table is recovery.md 2.9.
#include "proxy/policy/failure.hpp"

#include "protocol/sqlstate.hpp"

#include <cerrno>

namespace pgsteady {

std::string_view to_string(failure_kind kind) {
    switch (kind) {
        case failure_kind::none: return "none";
        case failure_kind::closed: return "closed";
        case failure_kind::reset: return "reset";
        case failure_kind::refused: return "refused";
        case failure_kind::timed_out: return "timed_out";
        case failure_kind::unreachable: return "unreachable";
        case failure_kind::tls_failed: return "tls_failed";
        case failure_kind::admin_shutdown: return "admin_shutdown";
        case failure_kind::crash_shutdown: return "crash_shutdown";
        case failure_kind::not_ready: return "not_ready";
        case failure_kind::too_many_connections: return "too_many_connections";
        case failure_kind::login_refused: return "login_refused";
        case failure_kind::session_ended: return "session_ended";
        case failure_kind::read_only: return "read_only";
        case failure_kind::out_of_resources: return "out_of_resources";
        case failure_kind::protocol_violation: return "protocol_violation";
        case failure_kind::statement_error: return "statement_error";
    }
    return "unknown";
}

failure_kind classify(const error_fields& why) {
    const std::string_view code = why.sqlstate;
    if (code == sqlstate::admin_shutdown) return failure_kind::admin_shutdown;
    if (code == sqlstate::crash_shutdown) return failure_kind::crash_shutdown;
    if (code == sqlstate::cannot_connect_now) return failure_kind::not_ready;
    if (code == sqlstate::too_many_connections) return failure_kind::too_many_connections;
    if (code == sqlstate::idle_session_timeout || code == sqlstate::idle_in_transaction_session_timeout ||
        code == sqlstate::database_dropped)
        return failure_kind::session_ended;
    if (code == sqlstate::read_only_sql_transaction) return failure_kind::read_only;
    if (code == sqlstate::invalid_catalog_name || sqlstate::is_class(code, "28")) return failure_kind::login_refused;
    if (sqlstate::is_class(code, "53") || code == sqlstate::io_error) return failure_kind::out_of_resources;
    if (code == sqlstate::protocol_violation) return failure_kind::protocol_violation;
    return failure_kind::statement_error;
}

failure_kind classify_io(int error_number, bool tls) {
    switch (error_number) {
        case 0: return tls ? failure_kind::tls_failed : failure_kind::closed;
        case ECONNREFUSED:
        case ENOENT: return failure_kind::refused;  // ENOENT: the Unix socket is not there
        case ETIMEDOUT: return failure_kind::timed_out;
        case ENETUNREACH:
        case EHOSTUNREACH:
        case ENETDOWN:
        case EHOSTDOWN: return failure_kind::unreachable;
        default: return failure_kind::reset;
    }
}

}  // namespace pgsteady
