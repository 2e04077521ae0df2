// ParameterStatus values: shared lists, and what a client must be told of a change.
#include "proxy/session/reported.hpp"

#include "tests/support/wire_builders.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

namespace {

std::string told(const reported_list* believed, const reported_list& actual) {
    std::string out;
    append_parameter_changes(out, believed, actual);
    return out;
}

}  // namespace

TEST_CASE("equal lists are one object; a change makes another, no change does not") {
    reported_table table;
    const reported_ptr one = table.of({{"TimeZone", "UTC"}, {"DateStyle", "ISO, MDY"}});
    CHECK(one == table.of({{"TimeZone", "UTC"}, {"DateStyle", "ISO, MDY"}}));
    CHECK(table.with(one, "TimeZone", "UTC") == one);
    const reported_ptr other = table.with(one, "TimeZone", "Mars");
    CHECK(other != one);
    CHECK(table.with(other, "TimeZone", "UTC") == one);
    CHECK(*find_reported(*table.with(one, "new", "x"), "new") == "x");
    CHECK(find_reported(*one, "new") == nullptr);
}

TEST_CASE("P34: a client hears of what differs from what it believes") {
    using testing::server::parameter;
    const reported_list before = {{"a", "1"}, {"b", "2"}, {"in_hot_standby", "off"}};
    CHECK(told(nullptr, before) == parameter("a", "1") + parameter("b", "2") + parameter("in_hot_standby", "off"));
    CHECK(told(&before, before).empty());
    CHECK(told(&before, {{"a", "1"}, {"b", "3"}, {"c", "4"}}) == parameter("b", "3") + parameter("c", "4"));
}

TEST_CASE("2.13: a client hears that a standby serves it, and that it does not any more") {
    using testing::server::parameter;
    const reported_list before = {{"in_hot_standby", "off"}};
    const reported_list after = {{"in_hot_standby", "on"}};
    CHECK(told(&before, after) == parameter("in_hot_standby", "on"));
    CHECK(told(&after, before) == parameter("in_hot_standby", "off"));
}

TEST_CASE("2.13: only servers that report on it are said to be read-only") {
    reported_table table;
    const reported_ptr old = table.of({{"TimeZone", "UTC"}});
    CHECK(as_read_only(table, old) == old);
    CHECK(as_of_primary(table, old) == old);
    const reported_ptr fresh = table.of({{"default_transaction_read_only", "off"}, {"in_hot_standby", "on"}});
    CHECK(*find_reported(*as_read_only(table, fresh), "default_transaction_read_only") == "on");
    CHECK(*find_reported(*as_read_only(table, fresh), "in_hot_standby") == "on");
    CHECK(*find_reported(*as_of_primary(table, fresh), "in_hot_standby") == "off");
}
