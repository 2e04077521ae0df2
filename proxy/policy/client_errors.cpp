// See client_errors.hpp.
#include "proxy/policy/client_errors.hpp"

#include "protocol/sqlstate.hpp"

#include "proxy/policy/crash_record.hpp"

namespace pgsteady {

std::string_view to_string(statement_outcome outcome) {
    switch (outcome) {
        case statement_outcome::not_executed: return "not_executed";
        case statement_outcome::rolled_back: return "rolled_back";
        case statement_outcome::unknown: return "unknown";
        case statement_outcome::committed: return "committed";
    }
    return "unknown";
}

namespace {

std::string detail(statement_outcome outcome, std::string_view incident, std::string_view last_words = {}) {
    std::string text = "outcome=";
    text += to_string(outcome);
    text += " incident=";
    text += incident;
    if (!last_words.empty()) {
        text += " server said: ";
        text += last_words;
    }
    return text;
}

}  // namespace

namespace client_errors {

error_fields read_only(std::string_view what, std::string_view incident) {
    return plain_error(sqlstate::read_only_sql_transaction,
                       "cannot execute " + std::string(what) + ": proxy is in read-only mode (no writable server)",
                       detail(statement_outcome::not_executed, incident), "Retry when /status reports writable.");
}

error_fields no_server(std::string_view what, std::chrono::milliseconds waited, std::string_view last_words,
                       std::string_view incident) {
    return plain_error(sqlstate::cannot_connect_now,
                       "no server available for " + std::string(what) + " within " + std::to_string(waited.count()) +
                           " ms; statement was not sent",
                       detail(statement_outcome::not_executed, incident, last_words), "Safe to retry.");
}

error_fields role_changed(std::string_view incident) {
    return plain_error(sqlstate::serialization_failure, "transaction rolled back: server role changed",
                       detail(statement_outcome::rolled_back, incident), "Retry the whole transaction.");
}

error_fields queue_full(std::string_view incident) {
    return plain_error(sqlstate::too_many_connections, "proxy wait queue is full; statement was not sent",
                       detail(statement_outcome::not_executed, incident), "Safe to retry with backoff.");
}

error_fields transaction_lost(std::string_view why, std::string_view incident) {
    return plain_error(
        sqlstate::serialization_failure,
        "transaction rolled back: server connection was lost and the transaction could not be replayed (" +
            std::string(why) + ")",
        detail(statement_outcome::rolled_back, incident), "Retry the whole transaction.");
}

error_fields replay_differed(std::size_t statement, std::string_view incident) {
    return plain_error(sqlstate::serialization_failure,
                       "transaction rolled back: replay on new server produced different results at statement " +
                           std::to_string(statement),
                       detail(statement_outcome::rolled_back, incident), "Retry the whole transaction.");
}

error_fields result_lost(std::uint64_t rows, std::string_view last_words, std::string_view incident) {
    return plain_error(sqlstate::connection_failure,
                       "server connection lost after " + std::to_string(rows) + " rows; result could not be resumed",
                       detail(statement_outcome::unknown, incident, last_words),
                       "The statement was read-only; safe to retry.");
}

error_fields commit_unknown(std::string_view last_words, std::string_view incident, std::string_view transaction) {
    const std::string which = transaction.empty() ? std::string() : " transaction " + std::string(transaction);
    return plain_error(
        sqlstate::transaction_resolution_unknown,
        "connection lost while COMMIT was in progress; transaction outcome is unknown",
        detail(statement_outcome::unknown, std::string(incident) + which, last_words),
        which.empty() ? "Check the transaction's effects before retrying." : "Check" + which + " before retrying.");
}

error_fields committed_unseen(std::string_view last_words, std::string_view incident) {
    return plain_error(sqlstate::transaction_resolution_unknown, "transaction committed but its result was lost",
                       detail(statement_outcome::committed, incident, last_words), "Do not retry: it is done.");
}

error_fields committed_locally(std::string_view incident) {
    error_fields warning = plain_error(
        sqlstate::warning, "the wait for synchronous replication was cut short: server connection was lost",
        "The transaction has already committed locally, but might not have been replicated to the standby. " +
            detail(statement_outcome::committed, incident));
    warning.severity = "WARNING";
    return warning;
}

error_fields statement_unknown(std::string_view last_words, std::string_view incident, std::string_view transaction) {
    const std::string which = transaction.empty() ? std::string() : " transaction " + std::string(transaction);
    return plain_error(
        sqlstate::statement_completion_unknown,
        "connection lost while a statement was executing outside a transaction block; completion is unknown",
        detail(statement_outcome::unknown, std::string(incident) + which, last_words),
        which.empty() ? "Verify effects before retrying." : "Check" + which + " before retrying.");
}

error_fields copy_lost(std::uint64_t bytes, bool over, std::string_view last_words, std::string_view incident) {
    return plain_error(
        over ? sqlstate::statement_completion_unknown : sqlstate::serialization_failure,
        "COPY failed: server connection lost after " + std::to_string(bytes) + " bytes",
        detail(over ? statement_outcome::unknown : statement_outcome::rolled_back, incident, last_words));
}

error_fields withheld(std::uint32_t crashes, std::uint64_t fingerprint, std::string_view incident) {
    return plain_error(
        sqlstate::crash_shutdown,
        "statement withheld: it was in flight when the server crashed " + std::to_string(crashes) + " times",
        detail(statement_outcome::unknown, incident),
        "Contact the administrator; fingerprint " + fingerprint_name(fingerprint) + '.');
}

error_fields pool_exhausted(std::chrono::milliseconds waited, std::string_view incident, std::string_view why) {
    return plain_error(sqlstate::too_many_connections,
                       "no pool slot within " + std::to_string(waited.count()) + " ms (" + std::string(why) + ")",
                       detail(statement_outcome::not_executed, incident), "Safe to retry.");
}

error_fields session_lost(std::string_view pins, std::string_view last_words, std::string_view incident) {
    return fatal_error(
        sqlstate::connection_failure,
        "session ended: server connection lost and session state cannot be restored (" + std::string(pins) + ")",
        detail(statement_outcome::unknown, incident, last_words));
}

error_fields server_violation(std::string_view incident) {
    return fatal_error(sqlstate::protocol_violation, "protocol error from server; connection closed",
                       detail(statement_outcome::unknown, incident));
}

error_fields still_waiting(std::string_view for_what, std::chrono::milliseconds so_far) {
    error_fields notice = plain_error(sqlstate::successful_completion, "waiting for " + std::string(for_what), {},
                                      "The statement has waited " + std::to_string(so_far.count()) +
                                          " ms and has not been sent; it can be cancelled.");
    notice.severity = "NOTICE";
    return notice;
}

error_fields notifications_lost(std::string_view incident) {
    error_fields notice = plain_error(
        sqlstate::warning, "notifications may have been lost: the server connection was replaced",
        "LISTEN is in effect again. incident=" + std::string(incident), "Look at what the notifications speak of.");
    notice.severity = "NOTICE";
    return notice;
}

error_fields too_many_notifications() {
    return fatal_error(sqlstate::out_of_memory, "more notifications wait for this client than pool.notification_queue",
                       "They are queued while it is in a transaction, waits for an answer, or does not read.",
                       "Commit sooner, read notifications on a connection of their own, or raise the limit.");
}

error_fields notification_untranslatable(std::string_view encoding) {
    return fatal_error(sqlstate::untranslatable_character,
                       "a notification cannot be sent in client_encoding " + std::string(encoding),
                       "The client has changed its encoding since it said LISTEN, which was UTF8 then.");
}

error_fields listener_refused(std::string_view words, std::string_view incident) {
    return plain_error(sqlstate::cannot_connect_now, "LISTEN cannot be carried out: " + std::string(words),
                       detail(statement_outcome::not_executed, incident), "Repeat the statement.");
}

error_fields cancelled(std::string_view incident, statement_outcome outcome) {
    return plain_error(sqlstate::query_canceled, "canceling statement due to user request", detail(outcome, incident));
}

error_fields shutting_down(statement_outcome outcome, std::string_view incident) {
    return fatal_error(sqlstate::admin_shutdown, "terminating connection due to proxy shutdown",
                       detail(outcome, incident));
}

error_fields unavailable(std::string_view why, std::string_view incident, std::string_view last_words) {
    return fatal_error(sqlstate::cannot_connect_now,
                       "the database system is not available (proxy: " + std::string(why) + ")",
                       detail(statement_outcome::not_executed, incident, last_words));
}

error_fields sequence_value_lost() {
    return plain_error(sqlstate::object_not_in_prerequisite_state,
                       "currval and lastval are not available: the server connection has served other clients since",
                       {}, "Use INSERT ... RETURNING, or call them in the transaction that drew from the sequence.");
}

error_fields transaction_aborted() {
    return plain_error(sqlstate::in_failed_sql_transaction,
                       "current transaction is aborted, commands ignored until end of transaction block");
}

error_fields protocol_violation(std::string message) {
    return fatal_error(sqlstate::protocol_violation, std::move(message));
}

error_fields no_transactions_in_statement_mode() {
    return fatal_error(sqlstate::feature_not_supported, "transaction blocks not allowed in statement pooling mode", {},
                       "Use a pool with mode: transaction.");
}

error_fields not_admitted(std::string_view host, std::string_view user, std::string_view database, bool with_tls,
                          bool rejects) {
    std::string message = rejects ? "pg_hba.conf rejects connection for host \"" : "no pg_hba.conf entry for host \"";
    message.append(host).append("\", user \"").append(user).append("\", database \"").append(database);
    message += with_tls ? "\", SSL encryption" : "\", no encryption";
    return fatal_error(sqlstate::invalid_authorization_specification, std::move(message));
}

error_fields too_many_clients(std::string_view which) {
    return fatal_error(sqlstate::too_many_connections, "sorry, too many clients already (" + std::string(which) + ")");
}

error_fields too_many_tries(std::string_view which) {
    return fatal_error(
        sqlstate::configuration_limit_exceeded,
        "too many passwords are being tried from this address (auth.passthrough." + std::string(which) + ")", {},
        "Wait and try again, or raise the limit.");
}

error_fields certificate_mismatch(std::string_view user) {
    return fatal_error(sqlstate::invalid_authorization_specification,
                       "certificate authentication failed for user \"" + std::string(user) + "\"");
}

error_fields memory_exceeded() {
    return fatal_error(sqlstate::out_of_memory, "the session's prepared statements exceed the proxy's memory limit", {},
                       "Close statements that are no longer needed, or raise limits.session_memory.");
}

error_fields idle_timeout() {
    return fatal_error(sqlstate::idle_session_timeout, "terminating connection due to idle-session timeout");
}

error_fields idle_in_transaction_timeout() {
    return fatal_error(sqlstate::idle_in_transaction_session_timeout,
                       "terminating connection due to idle-in-transaction timeout");
}

error_fields transaction_timeout() { return fatal_error("25P04", "terminating connection due to transaction timeout"); }

}  // namespace client_errors

}  // namespace pgsteady
