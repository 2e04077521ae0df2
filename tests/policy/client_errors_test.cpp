// The catalogue of recovery.md 2.14, as rows: which SQLSTATE, how bad, what it says of the outcome.
#include "proxy/policy/client_errors.hpp"

#include "proxy/policy/end_reason.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace pgsteady;
using namespace std::chrono_literals;

namespace {

struct row {
    const char* id;
    error_fields error;
    const char* sqlstate;
    const char* severity;
    const char* outcome;  // nullptr: it says nothing of one
    const char* words;    // part of the message
};

}  // namespace

TEST_CASE("recovery.md 2.14: each error has its SQLSTATE, severity, outcome and incident") {
    namespace e = client_errors;
    const row rows[] = {
        {"R01", e::read_only("INSERT", "i-7"), "25006", "ERROR", "not_executed",
         "cannot execute INSERT: proxy is in read-only mode (no writable server)"},
        {"R02", e::no_server("SELECT", 1500ms, "words", "i-7"), "57P03", "ERROR", "not_executed",
         "within 1500 ms; statement was not sent"},
        {"R03", e::queue_full("i-7"), "53300", "ERROR", "not_executed", "wait queue is full"},
        {"R04", e::transaction_lost("why", "i-7"), "40001", "ERROR", "rolled_back", "could not be replayed (why)"},
        {"R05", e::replay_differed(4, "i-7"), "40001", "ERROR", "rolled_back",
         "replay on new server produced different results at statement 4"},
        {"R09", e::copy_lost(70, false, "words", "i-7"), "40001", "ERROR", "rolled_back",
         "COPY failed: server connection lost after 70 bytes"},
        {"R09", e::copy_lost(70, true, "words", "i-7"), "40003", "ERROR", "unknown", "lost after 70 bytes"},
        {"R06", e::result_lost(5, "words", "i-7"), "08006", "ERROR", "unknown", "after 5 rows"},
        {"R07", e::commit_unknown("words", "i-7"), "08007", "ERROR", "unknown", "COMMIT was in progress"},
        {"R07", e::committed_unseen("words", "i-7"), "08007", "ERROR", "committed",
         "transaction committed but its result was lost"},
        {"E3a", e::committed_locally("i-7"), "01000", "WARNING", nullptr, "synchronous replication was cut short"},
        {"2.7", e::notifications_lost("i-7"), "01000", "NOTICE", nullptr, "notifications may have been lost"},
        {"R08", e::statement_unknown("words", "i-7"), "40003", "ERROR", "unknown", "completion is unknown"},
        {"R10", e::withheld(3, 0xaf63dc4c8601ec8c, "i-7"), "57P02", "ERROR", "unknown",
         "in flight when the server crashed 3 times"},
        {"R11", e::pool_exhausted(30000ms, "i-7"), "53300", "ERROR", "not_executed", "no pool slot within 30000 ms"},
        {"R11", e::pool_exhausted(1s, "i-7", "the server is full"), "53300", "ERROR", "not_executed",
         "within 1000 ms (the server is full)"},
        {"R12", e::session_lost("temp_object", "words", "i-7"), "08006", "FATAL", "unknown",
         "cannot be restored (temp_object)"},
        {"R13", e::server_violation("i-7"), "08P01", "FATAL", "unknown", "protocol error from server"},
        {"R17", e::role_changed("i-7"), "40001", "ERROR", "rolled_back",
         "transaction rolled back: server role changed"},
        {"R14", e::cancelled("i-7"), "57014", "ERROR", "not_executed", "canceling statement due to user request"},
        {"R14", e::cancelled("i-7", statement_outcome::rolled_back), "57014", "ERROR", "rolled_back",
         "due to user request"},
        {"R15", e::shutting_down(statement_outcome::rolled_back, "i-7"), "57P01", "FATAL", "rolled_back",
         "terminating connection due to proxy shutdown"},
        {"R16", e::unavailable("why", "i-7"), "57P03", "FATAL", "not_executed",
         "the database system is not available (proxy: why)"},
        {"25P02", e::transaction_aborted(), "25P02", "ERROR", nullptr, "current transaction is aborted"},
        {"08P01", e::protocol_violation("bad"), "08P01", "FATAL", nullptr, "bad"},
        {"0A000", e::no_transactions_in_statement_mode(), "0A000", "FATAL", nullptr, "statement pooling mode"},
        {"D15", e::sequence_value_lost(), "55000", "ERROR", nullptr, "currval and lastval"},
    };
    for (const row& each : rows) {
        CAPTURE(each.id);
        CHECK(each.error.sqlstate == each.sqlstate);
        CHECK(each.error.severity == each.severity);
        CHECK(each.error.is_fatal() == (std::string(each.severity) == "FATAL"));
        CHECK(each.error.message.find(each.words) != std::string::npos);
        if (each.outcome == nullptr) continue;
        CHECK(each.error.detail.starts_with("outcome=" + std::string(each.outcome) + " incident=i-7"));
    }
    std::set<std::string> told;  // the whole catalogue, and each with its outcome
    for (const row& each : rows)
        if (each.outcome != nullptr) told.insert(each.id);
    for (int number = 1; number <= 17; ++number) {
        const std::string id = (number < 10 ? "R0" : "R") + std::to_string(number);
        CHECK_MESSAGE(told.contains(id), id);
    }
}

TEST_CASE("the server's last words are passed on") {
    CHECK(client_errors::statement_unknown("FATAL 57P01 bye", "i-1").detail.ends_with("server said: FATAL 57P01 bye"));
    CHECK(client_errors::statement_unknown("", "i-1").detail.find("said") == std::string::npos);
}

TEST_CASE("R10 names the statement by its fingerprint, not by its text") {
    CHECK(client_errors::withheld(3, 0x0f63dc4c8601ec8c, "i-1").hint ==
          "Contact the administrator; fingerprint 0f63dc4c8601ec8c.");
}

TEST_CASE("reasons for a client's end have names, each its own") {
    std::set<std::string> names;
    std::size_t count = 0;
    for (int i = 0; to_string(static_cast<end_reason>(i)) != "unknown"; ++i, ++count)
        names.emplace(to_string(static_cast<end_reason>(i)));
    CHECK(count > 15);
    CHECK(names.size() == count);
}
