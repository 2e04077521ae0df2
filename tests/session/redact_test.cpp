// D39: what a statement log may show.
#include "proxy/session/redact.hpp"

#include <doctest/doctest.h>

using pgsteady::redacted;

TEST_CASE("D39: ordinary statements are logged as they are") {
    CHECK(redacted("SELECT 'a', $1 FROM t") == "SELECT 'a', $1 FROM t");
}

TEST_CASE("D39: passwords, verifiers and user mappings never reach the log") {
    CHECK(redacted("ALTER ROLE app PASSWORD 'hunter2'") == "ALTER ROLE app PASSWORD ***");
    CHECK(redacted("create user x with encrypted password 'md5abc' valid until 'tomorrow'") ==
          "create user x with encrypted password ***");
    CHECK(redacted("ALTER ROLE a password $tag$hunter2$tag$") == "ALTER ROLE a password ***");
    CHECK(redacted("CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password 'p')") ==
          "CREATE USER MAPPING FOR a SERVER s OPTIONS (user ***");
    CHECK(redacted("SELECT 'SCRAM-SHA-256$4096:salt$a:b'").find("4096") == std::string::npos);
}

TEST_CASE("a long text is cut") { CHECK(redacted(std::string(10'000, 'x')).size() == 4096 + 3); }
