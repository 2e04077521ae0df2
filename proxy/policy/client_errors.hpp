// The errors that a client can get from us: one function each, exact SQLSTATE and sentence, with the
// outcome and the incident in DETAIL (recovery.md 2.14). Nothing else in the product words an
// availability error. Pure.
#pragma once

#include "protocol/error_response.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace pgsteady {

/// What became of the statement or transaction that an error is about.
enum class statement_outcome : std::uint8_t { not_executed, rolled_back, unknown, committed };

[[nodiscard]] std::string_view to_string(statement_outcome outcome);

namespace client_errors {

/// R01: no statement can write at the moment; `what` names the statement's kind ("INSERT").
[[nodiscard]] error_fields read_only(std::string_view what, std::string_view incident);
/// R02: no server within the hold time; safe to retry.
[[nodiscard]] error_fields no_server(std::string_view what, std::chrono::milliseconds waited,
                                     std::string_view last_words, std::string_view incident);
/// R03: the wait queue is full.
[[nodiscard]] error_fields queue_full(std::string_view incident);
/// R04: the open transaction is gone.
[[nodiscard]] error_fields transaction_lost(std::string_view why, std::string_view incident);
/// R05: given again, it has answered otherwise at its `statement`-th request, the BEGIN being the first.
[[nodiscard]] error_fields replay_differed(std::size_t statement, std::string_view incident);
/// R06: rows were delivered and the rest is lost.
[[nodiscard]] error_fields result_lost(std::uint64_t rows, std::string_view last_words, std::string_view incident);
/// R07: COMMIT was in progress. `transaction`: its number, if it is known.
[[nodiscard]] error_fields commit_unknown(std::string_view last_words, std::string_view incident,
                                          std::string_view transaction = {});
/// The variant of R07 for what is known to be committed, while its tag or its rows are lost.
[[nodiscard]] error_fields committed_unseen(std::string_view last_words, std::string_view incident);
/// WARNING beside the answer of a COMMIT whose wait for a synchronous standby was cut short [E3a].
[[nodiscard]] error_fields committed_locally(std::string_view incident);
/// R08: a statement outside a transaction block was in progress.
[[nodiscard]] error_fields statement_unknown(std::string_view last_words, std::string_view incident,
                                             std::string_view transaction = {});
/// R09: COPY FROM STDIN was in progress. `over`: CopyDone had been sent, so the rows may be there.
[[nodiscard]] error_fields copy_lost(std::uint64_t bytes, bool over, std::string_view last_words,
                                     std::string_view incident);
/// R10: it is not sent again, since servers have crashed under it `crashes` times (D25).
[[nodiscard]] error_fields withheld(std::uint32_t crashes, std::uint64_t fingerprint, std::string_view incident);
/// R11: no server connection became free during the whole wait; `why` says what they were short of.
[[nodiscard]] error_fields pool_exhausted(std::chrono::milliseconds waited, std::string_view incident,
                                          std::string_view why = "all server connections are in use");
/// R12: pinned state is lost; ends the session.
[[nodiscard]] error_fields session_lost(std::string_view pins, std::string_view last_words, std::string_view incident);
/// R13: the server broke the protocol; ends the session.
[[nodiscard]] error_fields server_violation(std::string_view incident);
/// R17: the server of the open transaction is not the primary any more.
[[nodiscard]] error_fields role_changed(std::string_view incident);
/// NOTICE, once, to a client that has been waiting for a while: for what (recovery.md 2.10).
[[nodiscard]] error_fields still_waiting(std::string_view for_what, std::chrono::milliseconds so_far);
/// NOTICE: the client listens again, on another server.
[[nodiscard]] error_fields notifications_lost(std::string_view incident);
/// 53200 FATAL: a client that is busy, or does not read, was sent more notifications than it may have waiting (D18).
[[nodiscard]] error_fields too_many_notifications();
/// 22P05 FATAL: the shared listener speaks UTF-8, the client does not any more.
[[nodiscard]] error_fields notification_untranslatable(std::string_view encoding);
/// 57P03: the connection that listens for all could not be had, or refused.
[[nodiscard]] error_fields listener_refused(std::string_view words, std::string_view incident);
/// R14: cancelled while waiting, or while its transaction is given again.
[[nodiscard]] error_fields cancelled(std::string_view incident,
                                     statement_outcome outcome = statement_outcome::not_executed);
/// R15: the proxy shuts down; ends the session. `outcome` of what the client had under way.
[[nodiscard]] error_fields shutting_down(statement_outcome outcome, std::string_view incident);
/// R16: no server at sign-in; ends the session.
[[nodiscard]] error_fields unavailable(std::string_view why, std::string_view incident,
                                       std::string_view last_words = {});

/// 55000: lastval() or currval() whose server has served others since (D15).
[[nodiscard]] error_fields sequence_value_lost();
/// 25P02, as PostgreSQL words it.
[[nodiscard]] error_fields transaction_aborted();
/// 08P01 FATAL: an illegal message from the client.
[[nodiscard]] error_fields protocol_violation(std::string message);
/// 0A000 FATAL: a transaction block in statement mode.
[[nodiscard]] error_fields no_transactions_in_statement_mode();
/// 28000 FATAL, as PostgreSQL words it: no rule of auth.hba_file admits this client, or one `rejects` it.
[[nodiscard]] error_fields not_admitted(std::string_view host, std::string_view user, std::string_view database,
                                        bool with_tls, bool rejects);
/// 53300 FATAL: a cap on clients is reached; `which` names it.
[[nodiscard]] error_fields too_many_clients(std::string_view which);
/// 53400 FATAL: too many passwords from one source (D38); `which` names the limit.
[[nodiscard]] error_fields too_many_tries(std::string_view which);
/// 28000 FATAL: the client's certificate is somebody else's.
[[nodiscard]] error_fields certificate_mismatch(std::string_view user);
/// 53200 FATAL: the client makes us remember more than limits.session_memory.
[[nodiscard]] error_fields memory_exceeded();
/// 57P05/25P03 FATAL: a timeout of ours, with PostgreSQL's codes.
[[nodiscard]] error_fields idle_timeout();
[[nodiscard]] error_fields idle_in_transaction_timeout();
[[nodiscard]] error_fields transaction_timeout();

}  // namespace client_errors

}  // namespace pgsteady
