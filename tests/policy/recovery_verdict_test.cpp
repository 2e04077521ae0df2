// The verdict of every kind of failure in every phase, as one table, and what clients must not be able to forge.
#include "proxy/policy/recovery_verdict.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>

using namespace pgsteady;

namespace {

constexpr int phases = static_cast<int>(failure_phase::committing) + 1;
constexpr int kinds = static_cast<int>(failure_kind::statement_error) + 1;

/// One letter per phase, in the order of failure_phase: dialling, resting, unsent, statement, transaction, committing.
struct row {
    failure_kind kind;
    const char* severity;
    const char* code;
    const char* routine;
    verdict_name name;
    const char* host;   ///< - none, b burst, c counted, h held
    const char* retry;  ///< - none, C on another connection, X conflict, R role
    bool over;
    bool forward;  ///< in every phase but resting
};

using enum failure_kind;
using name = verdict_name;

// Ends of connections, FATAL, PANIC.
const row ends[] = {
    {none, "", "", "", name::none, "------", "------", false, true},
    {closed, "", "", "", name::connection_lost, "cbcccc", "C-CC--", true, false},
    {reset, "", "", "", name::connection_lost, "cbcccc", "C-CC--", true, false},
    {refused, "", "", "", name::host_refuses, "cccccc", "C-CC--", true, false},
    {timed_out, "", "", "", name::no_answer, "cccccc", "C-CC--", true, false},
    {unreachable, "", "", "", name::host_unreachable, "cccccc", "C-CC--", true, false},
    {tls_failed, "", "", "", name::tls_failed, "cccccc", "C-CC--", true, false},
    {admin_shutdown, "FATAL", "57P01", "ProcessInterrupts", name::backend_terminated, "bbbbbb", "C-CC--", true, false},
    {crash_shutdown, "FATAL", "57P02", "", name::server_crashed, "hhhhhh", "C-CC--", true, false},
    {not_ready, "FATAL", "57P03", "", name::server_not_ready, "hhhhhh", "C-CC--", true, false},
    {too_many_connections, "FATAL", "53300", "", name::server_full, "------", "C-CC--", true, false},
    {login_refused, "FATAL", "28P01", "", name::login_refused, "------", "------", true, true},
    {session_ended, "FATAL", "57P05", "", name::session_ended, "------", "--C---", true, false},
    {session_ended, "FATAL", "25P03", "", name::session_ended, "------", "--C---", true, false},
    {session_ended, "FATAL", "57P04", "", name::database_dropped, "------", "------", true, true},
    {read_only, "FATAL", "25006", "", name::session_failed, "------", "C-CC--", true, false},
    {out_of_resources, "FATAL", "53200", "", name::session_failed, "------", "C-CC--", true, false},
    {protocol_violation, "FATAL", "08P01", "", name::client_violation, "------", "------", true, true},
    {protocol_violation, "", "", "", name::server_violation, "------", "------", true, false},
    {statement_error, "FATAL", "40001", "ProcessInterrupts", name::recovery_conflict, "------", "C-CC--", true, false},
    {statement_error, "FATAL", "XX000", "", name::session_failed, "------", "C-CC--", true, false},
    {statement_error, "PANIC", "XX000", "", name::server_crashed, "hhhhhh", "C-CC--", true, false},
    {out_of_resources, "PANIC", "53100", "XLogWrite", name::server_crashed, "hhhhhh", "C-CC--", true, false},
};

// What came as ERROR while working: dialling has a case of its own below.
const row errors[] = {
    {read_only, "ERROR", "25006", "", name::not_writable, "------", " -RR--", false, true},
    {out_of_resources, "ERROR", "53100", "mdextend", name::storage_failing, "------", " -----", false, true},
    {out_of_resources, "ERROR", "58030", "mdread", name::storage_failing, "------", " -----", false, true},
    {out_of_resources, "ERROR", "53100", "exec_stmt_raise", name::out_of_resources, "------", " -----", false, true},
    {out_of_resources, "ERROR", "53200", "mdextend", name::out_of_resources, "------", " -----", false, true},
    {statement_error, "ERROR", "40001", "", name::conflict, "------", " -XX--", false, true},
    {statement_error, "ERROR", "40P01", "", name::conflict, "------", " -XX--", false, true},
};

char letter_of(host_effect effect) {
    switch (effect) {
        case host_effect::none: return '-';
        case host_effect::burst: return 'b';
        case host_effect::counted: return 'c';
        case host_effect::held: return 'h';
    }
    return '?';
}

char letter_of(retry_class retry) {
    switch (retry) {
        case retry_class::none: return '-';
        case retry_class::connection: return 'C';
        case retry_class::conflict: return 'X';
        case retry_class::role: return 'R';
    }
    return '?';
}

void check(const row& each, failure_phase phase) {
    const auto at = static_cast<std::size_t>(phase);
    CAPTURE(std::string(to_string(each.kind)));
    CAPTURE(std::string(each.severity));
    CAPTURE(std::string(each.code));
    CAPTURE(std::string(each.routine));
    CAPTURE(std::string(to_string(phase)));
    const recovery_verdict got = judge({each.kind, phase, each.severity, each.code, each.routine});
    CHECK(std::string(to_string(got.name)) == std::string(to_string(each.name)));
    CHECK(letter_of(got.host) == each.host[at]);
    CHECK(letter_of(got.retry) == each.retry[at]);
    CHECK(got.connection_over == each.over);
    CHECK(got.forward == (each.forward && phase != failure_phase::resting));
    CHECK(got.strikes_writes == (each.name == name::storage_failing));
    CHECK(got.strikes_pool == (each.name == name::login_refused && phase == failure_phase::dialling));
}

}  // namespace

TEST_CASE("recovery.md 2.9: every kind in every phase") {
    std::set<failure_kind> covered;
    for (const row& each : ends) {
        covered.insert(each.kind);
        for (int phase = 0; phase < phases; ++phase) check(each, static_cast<failure_phase>(phase));
    }
    CHECK(covered.size() == kinds);
    for (const row& each : errors)
        for (int phase = 1; phase < phases; ++phase) check(each, static_cast<failure_phase>(phase));
}

TEST_CASE("D22, T24: an ERROR of a statement trips nothing and is never retried, whatever code a client has RAISEd") {
    struct raised {
        const char* code;
        failure_kind kind;
    };
    const raised codes[] = {{"22012", statement_error},      {"23505", statement_error},    {"42601", statement_error},
                            {"0A000", statement_error},      {"57014", statement_error},    {"55P03", statement_error},
                            {"57P01", admin_shutdown},       {"57P02", crash_shutdown},     {"57P03", not_ready},
                            {"53300", too_many_connections}, {"28P01", login_refused},      {"3D000", login_refused},
                            {"57P05", session_ended},        {"08P01", protocol_violation}, {"08006", statement_error}};
    for (const raised& each : codes)
        for (int phase = 1; phase < phases; ++phase) {
            CAPTURE(std::string(each.code));
            error_fields said = plain_error(each.code, "x");
            said.others.emplace_back('R', "exec_stmt_raise");
            const failure_signal signal = signal_of(said, static_cast<failure_phase>(phase));
            CHECK(signal.kind == each.kind);
            recovery_verdict expected{name::statement_failed, host_effect::none, false, false, true, retry_class::none};
            expected.forward = signal.phase != failure_phase::resting;
            CHECK(judge(signal) == expected);
        }
}

TEST_CASE("T30: a backend's last WARNING is believed from the function that says it, and from no RAISE") {
    struct spoken {
        const char* code;
        const char* routine;
        name verdict;
        host_effect host;
    };
    const spoken rows[] = {
        {"57P01", "quickdie", name::server_stopping, host_effect::held},
        {"57P02", "quickdie", name::server_crashed, host_effect::held},
        {"57P01", "SyncRepWaitForLSN", name::committed_locally, host_effect::none},
        {"57P02", "exec_stmt_raise", name::none, host_effect::none},
        {"57P01", "exec_stmt_raise", name::none, host_effect::none},
        {"57P02", "", name::none, host_effect::none},
        {"01000", "SyncRepWaitForLSN", name::none, host_effect::none},  // cancelled: COMMIT answers as usual
        {"53100", "mdextend", name::none, host_effect::none},
        {"00000", "quickdie", name::none, host_effect::none},
    };
    for (const spoken& each : rows)
        for (const char* severity : {"WARNING", "NOTICE", "LOG"}) {
            CAPTURE(std::string(each.code));
            CAPTURE(std::string(each.routine));
            error_fields said;
            said.severity = severity;
            said.sqlstate = each.code;
            said.others = {{'F', "postgres.c"}, {'R', each.routine}};
            const recovery_verdict got = judge(signal_of(said, failure_phase::statement));
            CHECK(got.name == each.verdict);
            CHECK(got.host == each.host);
            CHECK(got.connection_over == (each.verdict != name::none));
            CHECK(got.forward == (each.verdict == name::none));
        }
}

TEST_CASE("T7: a COMMIT whose wait for a standby was cut short is never retried") {
    for (int phase = 0; phase < phases; ++phase)
        CHECK(
            judge({admin_shutdown, static_cast<failure_phase>(phase), "WARNING", "57P01", "SyncRepWaitForLSN"}).retry ==
            retry_class::none);
}

TEST_CASE("T23: at sign-in, what no other try would change is a refusal, and a full server is not a lost one") {
    struct refusal {
        const char* code;
        name verdict;
        retry_class retry;
        host_effect host;
    };
    const refusal rows[] = {
        {"28P01", name::login_refused, retry_class::none, host_effect::none},
        {"28000", name::login_refused, retry_class::none, host_effect::none},
        {"3D000", name::login_refused, retry_class::none, host_effect::none},
        {"42501", name::login_refused, retry_class::none, host_effect::none},  // no right to connect
        {"55000", name::login_refused, retry_class::none, host_effect::none},  // not accepting connections
        {"22023", name::login_refused, retry_class::none, host_effect::none},  // a bad startup parameter
        {"42704", name::login_refused, retry_class::none, host_effect::none},
        {"0A000", name::login_refused, retry_class::none, host_effect::none},
        {"53300", name::server_full, retry_class::connection, host_effect::none},
        {"57P03", name::server_not_ready, retry_class::connection, host_effect::held},
        {"57P01", name::backend_terminated, retry_class::connection, host_effect::burst},
        {"53200", name::session_failed, retry_class::connection, host_effect::none},
        {"57014", name::session_failed, retry_class::connection, host_effect::none},
        {"XX000", name::session_failed, retry_class::connection, host_effect::none},
        {"", name::session_failed, retry_class::connection, host_effect::none},
    };
    for (const refusal& each : rows)
        for (const char* severity : {"FATAL", "ERROR"}) {
            CAPTURE(std::string(each.code));
            CAPTURE(std::string(severity));
            error_fields said;
            said.severity = severity;
            said.sqlstate = each.code;
            const recovery_verdict got = judge(signal_of(said, failure_phase::dialling));
            CHECK(std::string(to_string(got.name)) == std::string(to_string(each.verdict)));
            CHECK(got.retry == each.retry);
            CHECK(got.host == each.host);
            CHECK(got.connection_over);
            CHECK(got.strikes_pool == (each.verdict == name::login_refused));
        }
}

TEST_CASE("property: over every kind, phase, severity and a hundred codes the verdict keeps its promises") {
    const std::array<const char*, 9> severities{"",       "ERROR", "FATAL", "PANIC", "WARNING",
                                                "NOTICE", "LOG",   "DEBUG", "error"};
    const std::array<const char*, 14> codes{"",      "25006", "40001", "40P01", "57014", "55P03", "23505",
                                            "57P01", "57P02", "57P03", "53100", "53300", "08P01", "4"};
    const std::array<const char*, 5> routines{"", "quickdie", "mdextend", "SyncRepWaitForLSN", "exec_stmt_raise"};
    for (int kind = 0; kind < kinds; ++kind)
        for (int phase = 0; phase < phases; ++phase)
            for (const char* severity : severities)
                for (const char* code : codes)
                    for (const char* routine : routines) {
                        const failure_signal signal{static_cast<failure_kind>(kind), static_cast<failure_phase>(phase),
                                                    severity, code, routine};
                        const recovery_verdict got = judge(signal);
                        // A part of a transaction is never sent again by itself; nothing is retried for nobody.
                        if (signal.phase >= failure_phase::transaction || signal.phase == failure_phase::resting)
                            CHECK(got.retry == retry_class::none);
                        // Another connection is only asked for if this one is over.
                        if (got.retry == retry_class::connection) CHECK(got.connection_over);
                        // Only ends say something about a host.
                        if (got.host != host_effect::none) CHECK(got.connection_over);
                        if (got.strikes_writes) CHECK_FALSE(got.connection_over);
                        // ERROR and notices without a function of PostgreSQL's own convict nobody.
                        const bool by_raise = std::string_view(routine) == "exec_stmt_raise" &&
                                              std::string_view(severity) != "FATAL" &&
                                              std::string_view(severity) != "PANIC" && std::string_view(severity) != "";
                        if (by_raise && signal.phase != failure_phase::dialling)
                            CHECK((got.host == host_effect::none && !got.strikes_writes && !got.connection_over));
                    }
}

TEST_CASE("every verdict, phase and retry class has a name of its own") {
    std::set<std::string> names;
    for (int each = 0; each <= static_cast<int>(name::statement_failed); ++each)
        names.insert(std::string(to_string(static_cast<name>(each))));
    CHECK(names.size() == static_cast<std::size_t>(name::statement_failed) + 1);
    CHECK_FALSE(names.contains("unknown"));
    names.clear();
    for (int phase = 0; phase < phases; ++phase)
        names.insert(std::string(to_string(static_cast<failure_phase>(phase))));
    CHECK(names.size() == phases);
    CHECK_FALSE(names.contains("unknown"));
    names.clear();
    for (int effect = 0; effect <= static_cast<int>(host_effect::held); ++effect)
        names.insert(std::string(to_string(static_cast<host_effect>(effect))));
    CHECK(names.size() == 4);
    CHECK_FALSE(names.contains("unknown"));
    names.clear();
    for (int retry = 0; retry <= static_cast<int>(retry_class::role); ++retry)
        names.insert(std::string(to_string(static_cast<retry_class>(retry))));
    CHECK(names.size() == 4);
    CHECK_FALSE(names.contains("unknown"));
}
