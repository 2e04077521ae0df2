// Rules of entry: what their files say, what of it is refused, and whom a rule is about.
#include "config/access_rules.hpp"

#include "config/access_files.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace pgsteady::config;

namespace {

std::string problem_of(const std::string& line) {
    const hba_text read = read_hba(line);
    return read.problems.empty() ? "" : read.problems.front().message;
}

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// The number of the line that is about this client; 0: none.
int line_for(const std::string& text, const std::string& peer, std::string_view database, std::string_view user,
             bool tls = false) {
    const hba_text read = read_hba(text);
    REQUIRE(read.problems.empty());
    const hba_rule* rule = rule_for(read.rules, {peer == "unix", tls, false, peer_bytes(peer), database, user});
    return rule == nullptr ? 0 : rule->line;
}

}  // namespace

TEST_CASE("rules: a line is cut as PostgreSQL cuts it") {
    const hba_text read = read_hba(
        "# comment\n"
        "\n"
        "host \"my db\",two, \"all\"  alice,\"+bob\" \\\n"
        "   10.0.0.0/8  scram-sha-256  # the rest\r\n"
        "local all all trust");
    REQUIRE(read.problems.empty());
    REQUIRE(read.rules.size() == 2);
    const hba_rule& first = read.rules[0];
    CHECK(first.line == 3);
    REQUIRE(first.databases.size() == 3);
    CHECK(first.databases[0].text == "my db");
    CHECK(first.databases[2] == hba_name{"all", true});
    CHECK(first.users[1] == hba_name{"+bob", true});
    CHECK(first.prefix == 8);
    CHECK(first.how == hba_rule::method::scram_sha_256);
    CHECK(read.rules[1].by == hba_rule::connection::local);
    CHECK(read.rules[1].line == 5);
}

TEST_CASE("P11: what cannot be judged here is a problem, and no line that is passed over") {
    CHECK(mentions(problem_of("host all +admins all trust"), "memberships"));
    CHECK(mentions(problem_of("host samerole all all trust"), "memberships"));
    CHECK(mentions(problem_of("host @dbs all all trust"), "another file"));
    CHECK(mentions(problem_of("host /^a all all trust"), "patterns"));
    CHECK(mentions(problem_of("host all all example.com md5"), "no address"));
    CHECK(mentions(problem_of("host all all samenet md5"), "10.0.0.0/8"));
    CHECK(mentions(problem_of("host all all 10.0.0.0/33 md5"), "0 to 32"));
    CHECK(mentions(problem_of("host all all 10.0.0.0 md5"), "mask"));
    CHECK(mentions(problem_of("host all all 10.0.0.0 255.0.255.0 md5"), "no mask"));
    CHECK(mentions(problem_of("host all all all ldap"), "not offered"));
    CHECK(mentions(problem_of("host all all all md5 foo=bar"), "foo=bar"));
    CHECK(mentions(problem_of("host all all all cert"), "hostssl"));
    CHECK(mentions(problem_of("hostssl all all all md5 map=m"), "map="));
    CHECK(mentions(problem_of("hostgssenc all all all md5"), "begins with none"));
    CHECK(mentions(problem_of("include other.conf"), "begins with none"));
    CHECK(mentions(problem_of("host \"all all all md5"), "quotation mark"));
    CHECK(mentions(problem_of("host all"), "ends before"));
    CHECK(mentions(problem_of("host all all"), "ends before"));
    CHECK(mentions(problem_of("host all all all"), "ends before"));
}

TEST_CASE("rules: the first line that fits counts, and no line means no entry") {
    const std::string rules =
        "host all bad all reject\n"
        "host app all 10.1.0.0/16 scram-sha-256\n"
        "hostssl app all all md5\n"
        "local all all trust\n"
        "host sameuser all 127.0.0.1 255.255.255.255 trust\n"
        "host all all ::1/128 md5\n";
    CHECK(line_for(rules, "10.1.2.3:5", "app", "bad") == 1);
    CHECK(line_for(rules, "10.1.2.3:5", "app", "good") == 2);
    CHECK(line_for(rules, "10.2.2.3:5", "app", "good") == 0);
    CHECK(line_for(rules, "10.2.2.3:5", "app", "good", true) == 3);
    CHECK(line_for(rules, "unix", "any", "bad") == 4);
    CHECK(line_for(rules, "127.0.0.1:9", "me", "me") == 5);
    CHECK(line_for(rules, "127.0.0.1:9", "me", "you") == 0);
    CHECK(line_for(rules, "[::1]:9", "x", "y") == 6);
    CHECK(line_for(rules, "[::ffff:10.1.2.3]:9", "app", "good") == 2);
    CHECK(line_for(rules, "garbage", "app", "good") == 0);
}

TEST_CASE("rules: in quotation marks a keyword is a name, and replication is nobody's database") {
    CHECK(line_for("host \"all\" all all trust", "10.0.0.1:1", "app", "u") == 0);
    CHECK(line_for("host \"all\" all all trust", "10.0.0.1:1", "all", "u") == 1);
    CHECK(line_for("host all \"all\" all trust", "10.0.0.1:1", "app", "all") == 1);
    CHECK(line_for("host \"sameuser\" all all trust", "10.0.0.1:1", "u", "u") == 0);
    CHECK(line_for("host replication all all trust", "10.0.0.1:1", "replication", "u") == 0);
    CHECK(line_for("host \"replication\" all all trust", "10.0.0.1:1", "replication", "u") == 1);
}

TEST_CASE("rules: all is not about who replicates, and replication about nobody else, as in PostgreSQL") {
    const hba_text read =
        read_hba("host all all all trust\nhost \"replication\" all all trust\nhost replication all all md5\n");
    const entrant standby{false, false, true, peer_bytes("10.0.0.1:1"), "replication", "u"};
    REQUIRE(rule_for(read.rules, standby) != nullptr);
    CHECK(rule_for(read.rules, standby)->line == 3);
}

TEST_CASE("rules: a network is compared bit by bit, and never with one of the other family") {
    CHECK(line_for("host all all 10.0.0.128/25 trust", "10.0.0.127:1", "d", "u") == 0);
    CHECK(line_for("host all all 10.0.0.128/25 trust", "10.0.0.129:1", "d", "u") == 1);
    CHECK(line_for("host all all 10.0.0.129/25 trust", "10.0.0.200:1", "d", "u") == 1);
    CHECK(line_for("host all all 0.0.0.0/0 trust", "[2001:db8::1]:1", "d", "u") == 0);
    CHECK(line_for("host all all ::/0 trust", "10.0.0.1:1", "d", "u") == 0);
    CHECK(line_for("host all all fe80::/10 trust", "[fe80::1%eth0]:1", "d", "u") == 1);
}

TEST_CASE("maps: whom the owner of a certificate may be") {
    const ident_text read = read_ident(
        "people alice  app\n"
        "people alice  reports\n"
        "people /^(.*)@example\\.com$ \\1\n"
        "robots /^robot[0-9]+$ all\n"
        "wrong  /x \\1\n");
    REQUIRE(read.problems.empty());
    const auto may = [&](std::string_view map, std::string_view name, std::string_view user) {
        return may_be(read.lines, map, name, user);
    };
    CHECK(may("people", "alice", "app"));
    CHECK(may("people", "alice", "reports"));
    CHECK_FALSE(may("people", "alice", "alice"));
    CHECK_FALSE(may("robots", "alice", "app"));
    CHECK(may("people", "bob@example.com", "bob"));
    CHECK_FALSE(may("people", "bob@example.com.evil", "bob"));
    CHECK_FALSE(may("people", "bob@exampleXcom", "bob"));
    CHECK(may("robots", "robot7", "anybody"));
    CHECK_FALSE(may("robots", "robot", "anybody"));
    CHECK_FALSE(may("wrong", "x", "x"));
    CHECK_FALSE(may("people", "", ""));
    CHECK_FALSE(may("robots", std::string(100, '1') + "robot7", "anybody"));
}

TEST_CASE("maps: a line of another form, or with a broken pattern, is a problem with its line") {
    const ident_text read = read_ident("a b c\n\na b\na b c d\na /( c\n");
    CHECK(read.lines.size() == 1);
    REQUIRE(read.problems.size() == 3);
    CHECK(read.problems[0].line == 3);
    CHECK(read.problems[2].line == 5);
    CHECK(mentions(read.problems[2].message, "no regular expression"));
}

TEST_CASE("rules and patterns that every sign-in goes through are bounded") {
    std::string rules;
    for (int i = 0; i < 10'002; ++i) rules += "local all all trust\n";
    CHECK(read_hba(rules).problems.size() == 1);
    std::string maps;
    for (int i = 0; i < 101; ++i) maps += "m /a b\n";
    CHECK(read_ident(maps).problems.size() == 1);
}

TEST_CASE("rules: which are about this machine alone") {
    const auto local = [](const std::string& line) { return is_for_loopback(read_hba(line).rules.at(0)); };
    CHECK(local("local all all trust"));
    CHECK(local("host all all 127.0.0.1/32 trust"));
    CHECK(local("host all all ::1/128 trust"));
    CHECK_FALSE(local("host all all all trust"));
    CHECK_FALSE(local("host all all 127.0.0.1/7 trust"));
    CHECK_FALSE(local("host all all ::1/0 trust"));
    CHECK_FALSE(local("host all all 10.0.0.0/8 trust"));
}
