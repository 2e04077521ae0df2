// D39: no constant of a statement gets into what is logged.
#include "proxy/sql/normalized.hpp"

#include <doctest/doctest.h>

using namespace pgsteady;

TEST_CASE("Constants become parameters, and the rest stays as it was written") {
    CHECK(normalized_statement("SELECT a FROM t WHERE b = 'x' AND c > 17.5") ==
          "SELECT a FROM t WHERE b = $1 AND c > $2");
    CHECK(normalized_statement("select 1; select 'two'").find("two") == std::string::npos);
    CHECK(normalized_statement("insert into t values (1, 'secret-value', $$dollar secret$$)").find("secret") ==
          std::string::npos);
    CHECK(normalized_statement("select * from t where a = $1") == "select * from t where a = $1");
}

TEST_CASE("D39: passwords and user mappings are constants, too") {
    for (const char* text : {"ALTER ROLE app PASSWORD 'hunter2'", "CREATE USER x WITH ENCRYPTED PASSWORD 'hunter2'",
                             "CREATE USER MAPPING FOR x SERVER y OPTIONS (user 'u', password 'hunter2')",
                             "SET my.secret = 'hunter2'", "COPY t FROM PROGRAM 'cat hunter2'"})
        CHECK_MESSAGE(normalized_statement(text).find("hunter2") == std::string::npos, normalized_statement(text));
}

TEST_CASE("What cannot be parsed or is too long has no text") {
    CHECK(normalized_statement("selct 'hunter2'").empty());
    CHECK(normalized_statement("select '" + std::string(100, 'x') + "'", 50).empty());
    CHECK(normalized_statement(std::string_view("select 1\0 'x'", 13)).empty());
}
