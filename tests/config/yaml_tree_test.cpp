// The subset of YAML that a configuration file may use, and what happens to the rest.

#include "config/yaml_tree.hpp"

#include <doctest/doctest.h>

#include <tuple>

using namespace pgsteady::config;

namespace {

std::string problems_of(std::string_view text) {
    std::vector<problem> problems;
    std::ignore = parse_yaml(text, problems);
    std::string all;
    for (const auto& one : problems) all += std::to_string(one.line) + ": " + one.message + '\n';
    return all;
}

std::string repeat(std::string_view text, std::size_t times) {
    std::string result;
    while (times-- > 0) result += text;
    return result;
}

}  // namespace

TEST_CASE("a file becomes a tree with lines") {
    std::vector<problem> problems;
    const auto root =
        parse_yaml("# comment\nlisten:\n  port: 6432\n  host: \"x\"\nnames: [a, b]\nnothing:\n", problems);
    CHECK(problems.empty());
    REQUIRE(root.kind == yaml_kind::mapping);
    REQUIRE(root.children.size() == 3);
    const auto& listen = root.children[0];
    CHECK(listen.name == "listen");
    CHECK(listen.line == 2);
    REQUIRE(listen.children.size() == 2);
    CHECK(listen.children[0].name == "port");
    CHECK(listen.children[0].scalar == "6432");
    CHECK(listen.children[0].line == 3);
    CHECK(root.children[1].kind == yaml_kind::sequence);
    CHECK(root.children[1].children[1].scalar == "b");
    CHECK(root.children[2].kind == yaml_kind::empty);
}

TEST_CASE("an empty file is an empty tree") {
    for (const auto* text : {"", "\n", "# nothing\n", "---\n", "~"}) {
        std::vector<problem> problems;
        CHECK(parse_yaml(text, problems).kind == yaml_kind::empty);
        CHECK(problems.empty());
    }
}

TEST_CASE("broken YAML is a problem with its line, not an exception") {
    CHECK(problems_of("a: 1\nb: [1, 2\n").find("not valid YAML") != std::string::npos);
    CHECK(problems_of("a: b: c\n").starts_with("1: not valid YAML"));
    CHECK(problems_of("a: 'open\nb: 1\n\n").find("not valid YAML") != std::string::npos);
    CHECK(problems_of("%YAML 9.9\n--- a\n") != "");
    CHECK(problems_of(std::string_view("a: \0", 4)) == "0: contains NUL bytes\n");
}

TEST_CASE("a key given twice is a problem that names both lines") {
    std::vector<problem> problems;
    std::ignore = parse_yaml("pool:\n  size: 1\n  mode: x\n  size: 2\n", problems);
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].key == "pool.size");
    CHECK(problems[0].line == 4);
    CHECK(problems[0].suggestion == "the first is in line 2");
}

TEST_CASE("anchors, aliases, tags, merge tricks and second documents are refused") {
    CHECK(problems_of("a: &x 1\nb: 2\n") == "1: anchors (&name) are not supported\n");
    CHECK(problems_of("a: 1\nb: *x\n") != "");
    CHECK(problems_of("a: !!int 1\n") == "1: tags (!name) are not supported\n");
    CHECK(problems_of("a: 1\n---\nb: 2\n").find("a second document") != std::string::npos);
    CHECK(problems_of("[a]: 1\n").find("not a plain word") != std::string::npos);
    CHECK(problems_of("~: 1\n").find("a key without a name") != std::string::npos);
}

TEST_CASE("an alias bomb is refused at its first anchor") {
    std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n";
    for (char c = 'b'; c < 'k'; ++c)
        bomb += std::string(1, c) + ": &" + c + " [" + repeat(std::string("*") + static_cast<char>(c - 1) + ", ", 9) +
                "x]\n";
    CHECK(problems_of(bomb) == "1: anchors (&name) are not supported\n");
}

TEST_CASE("hostile depth, breadth and size end early") {
    CHECK(problems_of(repeat("[", 33) + repeat("]", 33)) == "1: nested too deeply\n");
    CHECK(problems_of(repeat("[", 33)) != "");
    CHECK(problems_of(repeat("[", 32) + repeat("]", 32)) == "");
    CHECK(problems_of(repeat("- ", 5'000)).find("nested too deeply") != std::string::npos);
    CHECK(problems_of(repeat("{a: ", 9'000)) != "");
    CHECK(problems_of(repeat("[", 200'000)) == "0: too many brackets\n");
    CHECK(problems_of("a:\n" + repeat("- x\n", 60'000)).find("too many values") != std::string::npos);
    CHECK(problems_of(repeat("#", max_file_bytes + 1)) == "0: larger than 1MiB\n");
    CHECK(problems_of(repeat("#", max_file_bytes)) == "");
}
