// Who is asked for the way (D30). That the server says it is shown by tests/system (replay_cases).
#include "proxy/policy/right_of_way.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

TEST_CASE("D30: those who stand in the way are asked for by process, and whom they wait for") {
    const std::string question = right_of_way::question(4711);
    CHECK(question.find("pg_blocking_pids(4711)") != std::string::npos);
    CHECK(question.find("pg_blocking_pids(keeper.pid)") != std::string::npos);
    CHECK(question.find(" UNION SELECT ") !=
          std::string::npos);  // not UNION ALL: those who wait for each other are a circle
    CHECK(right_of_way::patience < right_of_way::pause);
}

TEST_CASE("no function of somebody else's is called instead, whatever the search_path") {
    const std::string question = right_of_way::question(1);
    for (const char* const name : {"unnest(", "pg_blocking_pids("})
        for (std::size_t at = question.find(name); at != std::string::npos; at = question.find(name, at + 1))
            CHECK(question.substr(at - 11, 11) == "pg_catalog.");
}
