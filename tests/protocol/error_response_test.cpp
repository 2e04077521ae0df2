// Error fields: round trips, missing fields, damage at every byte, forged fields.

#include "protocol/error_response.hpp"

#include "protocol/frame.hpp"
#include "protocol/sqlstate.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace pgsteady;
using namespace std::string_view_literals;

namespace {

std::string_view body_of(std::string_view frame) { return frame.substr(frame_header_size); }

error_fields parsed(std::string_view body) {
    error_fields fields;
    CHECK(parse_error_fields(body, fields));
    return fields;
}

}  // namespace

TEST_CASE("an error of our own is written with S and V and read back the same") {
    const error_fields error =
        fatal_error(sqlstate::invalid_password, "password authentication failed for user \"alice\"", "why", "do this");
    std::string out;
    append_error_response(out, error);
    CHECK(out.starts_with("E"));
    CHECK(read_frame_header(out).total == out.size());
    CHECK(body_of(out) ==
          "SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user \"alice\"\0Dwhy\0"
          "Hdo this\0\0"sv);
    CHECK(parsed(body_of(out)) == error);
    CHECK(error.is_fatal());
    CHECK_FALSE(plain_error(sqlstate::query_canceled, "canceled").is_fatal());
}

TEST_CASE("empty severity and SQLSTATE get a default for their kind of message") {
    error_fields bare;
    bare.message = "hello";
    std::string error;
    append_error_response(error, bare);
    CHECK(body_of(error) == "SERROR\0VERROR\0CXX000\0Mhello\0\0"sv);
    std::string notice;
    append_notice_response(notice, bare);
    CHECK(notice.starts_with("N"));
    CHECK(body_of(notice) == "SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"sv);
}

TEST_CASE("the severity that is not localised wins, wherever it stands") {
    CHECK(parsed("SFATAAL\0VFATAL\0\0"sv).severity == "FATAL");
    CHECK(parsed("VFATAL\0SFATAAL\0\0"sv).severity == "FATAL");
    CHECK(parsed("SPANIC\0\0"sv).is_fatal());
    CHECK(parsed("VPANIC\0\0"sv).is_fatal());
}

TEST_CASE("P9: every field may be missing") {
    CHECK(parsed("\0"sv) == error_fields{});
    CHECK(parsed("Monly text\0\0"sv).sqlstate.empty());
    CHECK(parsed("C57P01\0\0"sv).message.empty());
}

TEST_CASE("fields without a member of their own are kept in order and written again") {
    const error_fields error = parsed("SERROR\0C42601\0Mno\0P8\0Fscan.l\0L1180\0\0"sv);
    CHECK(error.others == std::vector<std::pair<char, std::string>>{{'P', "8"}, {'F', "scan.l"}, {'L', "1180"}});
    std::string out;
    append_error_response(out, error);
    CHECK(parsed(body_of(out)) == error);
}

TEST_CASE("P9: a body cut anywhere is reported and keeps what came before") {
    const std::string_view whole = "SERROR\0VERROR\0C22012\0Mdivision by zero\0Dd\0Hh\0Xx\0\0"sv;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        error_fields fields;
        CHECK_FALSE(parse_error_fields(whole.substr(0, size), fields));
    }
    error_fields fields;
    CHECK_FALSE(parse_error_fields(whole.substr(0, whole.find("Dd")), fields));
    CHECK(fields.message == "division by zero");
    CHECK_FALSE(parse_error_fields("Mtext\0\0trailing"sv, fields));
    CHECK(fields.message == "text");
}

TEST_CASE("P9: values and their number are bounded") {
    std::string body = "M" + std::string(10 * error_field_bytes_max, 'm') + '\0';
    for (int i = 0; i < 1000; ++i) body += "Xvalue\0"sv;
    body += '\0';
    const error_fields fields = parsed(body);
    CHECK(fields.message.size() == error_field_bytes_max);
    CHECK(fields.others.size() == error_other_fields_max);
}

TEST_CASE("text from outside cannot forge fields") {
    error_fields error = fatal_error(sqlstate::internal_error, std::string("a\0Cfake\0"sv));
    error.others = {{'C', "00000"}, {'\0', "end"}, {'M', "other"}, {'S', "LOG"}, {'W', "where"}};
    std::string out;
    append_error_response(out, error);
    CHECK(body_of(out) == "SFATAL\0VFATAL\0CXX000\0Ma\0Wwhere\0\0"sv);
}

TEST_CASE("a class is the first two characters of a whole code") {
    static_assert(sqlstate::is_class(sqlstate::invalid_password, "28"));
    static_assert(!sqlstate::is_class("28", "28"));
    static_assert(!sqlstate::is_class(sqlstate::admin_shutdown, "58"));
    CHECK(sqlstate::is_class("08P01", "08"));
}
