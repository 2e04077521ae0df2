// Output as pieces: order is kept whatever the mixture, adjacent views join, and a partial write is resumed.
#include "proxy/session/gather.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace pgsteady;

TEST_CASE("a gather begins and ends empty") {
    gather out;
    out.view({});
    out.copy({});
    CHECK(out.empty());
    CHECK(out.pieces() == 0);
    out.copy("x");
    out.clear();
    CHECK(out.empty());
    CHECK(out.str().empty());
}

TEST_CASE("views that lie behind each other are one piece; large ones are not copied") {
    const std::string bytes(100'000, 'b');
    gather out;
    out.view(std::string_view(bytes).substr(0, 5'000));
    out.view(std::string_view(bytes).substr(5'000, 10));
    out.view(std::string_view(bytes).substr(5'010));
    CHECK(out.pieces() == 1);
    std::vector<iovec> pieces;
    out.to_iovec(pieces);
    CHECK(pieces.at(0).iov_base == bytes.data());
    CHECK(pieces.at(0).iov_len == bytes.size());
}

TEST_CASE("any mixture comes out in order, from any point on") {
    std::mt19937 chance(1);
    std::string source;
    for (int i = 0; i < 40'000; ++i) source += static_cast<char>('a' + chance() % 26);
    for (int round = 0; round < 300; ++round) {
        gather out;
        std::string wanted;
        for (std::size_t part = chance() % 12; part > 0; --part) {
            const std::size_t size = chance() % 3 == 0 ? chance() % 8'000 : chance() % 40;
            const std::string_view bytes = std::string_view(source).substr(chance() % 30'000, size);
            switch (chance() % 3) {
                case 0: out.copy(std::string(bytes)); break;
                case 1: std::copy(bytes.begin(), bytes.end(), out.room(bytes.size())); break;
                default: out.view(bytes);
            }
            wanted += bytes;
        }
        REQUIRE(out.size() == wanted.size());
        REQUIRE(out.str() == wanted);
        const std::size_t skip = wanted.empty() ? 0 : chance() % wanted.size();
        std::string rest;
        out.append_to(rest, skip);
        REQUIRE(rest == wanted.substr(skip));
    }
}
