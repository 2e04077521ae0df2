// Of what a server said before it ended while its answer was held, only its last words count.
#include "proxy/policy/farewell.hpp"

#include "protocol/error_response.hpp"

#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;
using namespace pgsteady::testing;

namespace {

std::string said(bool as_error, const char* severity, const char* sqlstate, const char* routine = "ProcessInterrupts") {
    error_fields fields = plain_error(sqlstate, "words");
    fields.severity = severity;
    fields.others = {{'R', routine}};
    std::string out;
    if (as_error) append_error_response(out, fields);
    else append_notice_response(out, fields);
    return out;
}

}  // namespace

TEST_CASE("D30: of a held answer nothing is left but the server's farewell, at whatever byte it ends") {
    const std::string answer = frame_of('D', std::string(20, 'x')) + frame_of('C', std::string("SELECT 1\0", 9)) +
                               said(false, "NOTICE", "00000") + said(true, "ERROR", "23505") + frame_of('Z', "T");
    const std::string fatal = said(true, "FATAL", "57P01");
    for (std::size_t cut = 0; cut <= answer.size(); ++cut) CHECK(farewell_in(answer.substr(0, cut)).empty());
    CHECK(farewell_in(answer + fatal) == fatal);
    for (std::size_t cut = 0; cut < fatal.size(); ++cut) CHECK(farewell_in(answer + fatal.substr(0, cut)).empty());
    CHECK(farewell_in(fatal) == fatal);
    const std::string crash = said(false, "WARNING", "57P02", "quickdie");
    CHECK(farewell_in(crash + answer + fatal) == crash + fatal);
    CHECK(farewell_in("").empty());
    CHECK(farewell_in(answer + std::string("\0\0\0\0\0", 5) + fatal).empty());
}

TEST_CASE("T30: warnings of a crash are a farewell, and what clients can raise is none") {
    const std::string warning = said(false, "WARNING", "57P02", "quickdie");
    CHECK(farewell_in(frame_of('Z', "T") + warning) == warning);
    CHECK(farewell_in(said(false, "WARNING", "57P02", "exec_stmt_raise")).empty());
}
