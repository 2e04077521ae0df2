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
    };
    const row rows[] = {
        {"57P01", failure_kind::admin_shutdown},     {"57P02", failure_kind::crash_shutdown},
        {"57P03", failure_kind::not_ready},          {"53300", failure_kind::too_many_connections},
        {"57P05", failure_kind::session_ended},      {"25P03", failure_kind::session_ended},
        {"57P04", failure_kind::session_ended},      {"25006", failure_kind::read_only},
        {"28P01", failure_kind::login_refused},      {"28000", failure_kind::login_refused},
        {"3D000", failure_kind::login_refused},      {"53100", failure_kind::out_of_resources},
        {"53200", failure_kind::out_of_resources},   {"58030", failure_kind::out_of_resources},
        {"08P01", failure_kind::protocol_violation}, {"23505", failure_kind::statement_error},
        {"22012", failure_kind::statement_error},    {"40001", failure_kind::statement_error},
        {"40P01", failure_kind::statement_error},    {"57014", failure_kind::statement_error},
        {"55P03", failure_kind::statement_error},    {"42601", failure_kind::statement_error},
        {"0A000", failure_kind::statement_error},    {"", failure_kind::statement_error},
    };
    for (const row& each : rows) {
        CAPTURE(each.code);
        error_fields why;
        why.sqlstate = each.code;
        CHECK(classify(why) == each.kind);
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
