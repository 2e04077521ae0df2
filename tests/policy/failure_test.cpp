// Every signal of recovery.md 2.9 and the name it gets.
#include "proxy/policy/failure.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <set>
#include <string>

using namespace pgsteady;

TEST_CASE("an ErrorResponse is classified by its SQLSTATE") {
    struct row {
        const char* code;
        failure_kind kind;
        bool infrastructure;
    };
    const row rows[] = {
        {"57P01", failure_kind::admin_shutdown, true},      {"57P02", failure_kind::crash_shutdown, true},
        {"57P03", failure_kind::not_ready, true},           {"53300", failure_kind::too_many_connections, false},
        {"57P05", failure_kind::session_ended, false},      {"25P03", failure_kind::session_ended, false},
        {"57P04", failure_kind::session_ended, false},      {"25006", failure_kind::read_only, false},
        {"28P01", failure_kind::login_refused, false},      {"28000", failure_kind::login_refused, false},
        {"3D000", failure_kind::login_refused, false},      {"53100", failure_kind::out_of_resources, true},
        {"53200", failure_kind::out_of_resources, true},    {"58030", failure_kind::out_of_resources, true},
        {"08P01", failure_kind::protocol_violation, true},  {"23505", failure_kind::statement_error, false},
        {"22012", failure_kind::statement_error, false},    {"40001", failure_kind::statement_error, false},
        {"40P01", failure_kind::statement_error, false},    {"57014", failure_kind::statement_error, false},
        {"55P03", failure_kind::statement_error, false},    {"42601", failure_kind::statement_error, false},
        {"0A000", failure_kind::statement_error, false},    {"", failure_kind::statement_error, false},
    };
    for (const row& each : rows) {
        CAPTURE(each.code);
        error_fields why;
        why.sqlstate = each.code;
        CHECK(classify(why) == each.kind);
        CHECK(is_infrastructure(each.kind) == each.infrastructure);
    }
}

TEST_CASE("T24: no error of a statement counts against the server") {
    for (const char* code : {"22012", "23505", "42P01", "0A000", "40001", "57014"}) {
        error_fields why;
        why.sqlstate = code;
        CHECK_FALSE(is_infrastructure(classify(why)));
        CHECK_FALSE(ends_connection(classify(why)));
    }
}

TEST_CASE("the end of a connection is classified by errno") {
    CHECK(classify_io(0, false) == failure_kind::closed);
    CHECK(classify_io(0, true) == failure_kind::tls_failed);
    CHECK(classify_io(ECONNREFUSED, false) == failure_kind::refused);
    CHECK(classify_io(ENOENT, false) == failure_kind::refused);
    CHECK(classify_io(ETIMEDOUT, false) == failure_kind::timed_out);
    CHECK(classify_io(EHOSTUNREACH, false) == failure_kind::unreachable);
    CHECK(classify_io(ECONNRESET, false) == failure_kind::reset);
    CHECK(classify_io(EPIPE, false) == failure_kind::reset);
}

TEST_CASE("every kind has a name of its own") {
    std::set<std::string> names;
    for (int kind = 0; kind <= static_cast<int>(failure_kind::statement_error); ++kind)
        names.insert(std::string(to_string(static_cast<failure_kind>(kind))));
    CHECK(names.size() == static_cast<std::size_t>(failure_kind::statement_error) + 1);
    CHECK_FALSE(names.contains("unknown"));
}
