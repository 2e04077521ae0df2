// What a client has been answered, in 16 bytes: the same bytes have the same digest, however they came.
#include "proxy/session/response_digest.hpp"

#include "proxy/session/hash_update.hpp"

#include <doctest/doctest.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string>

using namespace pgsteady;

namespace {

std::string bytes_of(std::size_t count) {
    std::string bytes(count, '\0');
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>((i * 131U) ^ (i >> 8));
    return bytes;
}

digest_value digest_in_pieces(const std::string& bytes, std::size_t piece) {
    response_digest digest;
    digest.begin();
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        const std::string apart = bytes.substr(at, piece);  // never beside the one before
        digest.add(apart);
        digest.settle();
    }
    return digest.value();
}

using update = void (*)(void*, const char*, std::size_t);

XXH128_hash_t hashed(const std::string& bytes, update first, update then) {
    XXH3_state_t state;
    XXH3_128bits_reset(&state);
    const std::size_t half = bytes.size() / 2;
    first(&state, bytes.data(), half);
    then(&state, bytes.data() + half, bytes.size() - half);
    return XXH3_128bits_digest(&state);
}

}  // namespace

TEST_CASE("T13: the digest of an answer does not depend on the pieces in which it came") {
    for (const std::size_t count : {1, 16, 240, 241, 1024, 4099, 70001}) {
        const std::string bytes = bytes_of(count);
        const digest_value whole = digest_in_pieces(bytes, count);
        CHECK(whole.bytes == count);
        for (const std::size_t piece : {1, 7, 64, 256, 5000}) CHECK(digest_in_pieces(bytes, piece) == whole);
    }
}

TEST_CASE("T13: one changed, missing or additional byte is another digest") {
    const std::string bytes = bytes_of(9000);
    const digest_value whole = digest_in_pieces(bytes, 9000);
    for (std::size_t at = 0; at < bytes.size(); at += 1111) {
        std::string other = bytes;
        other[at] = static_cast<char>(other[at] ^ 1);
        CHECK_FALSE(digest_in_pieces(other, 9000) == whole);
    }
    CHECK_FALSE(digest_in_pieces(bytes.substr(1), 9000) == whole);
    CHECK_FALSE(digest_in_pieces(bytes + 'x', 9001) == whole);
}

#ifdef __x86_64__
TEST_CASE("wide vectors and portable ones say the same, also when one goes on where the other stopped") {
    if (!__builtin_cpu_supports("avx2")) return;
    for (const std::size_t count : {0, 1, 100, 255, 256, 257, 1023, 2048, 65536, 100003}) {
        const std::string bytes = bytes_of(count);
        const XXH128_hash_t expected = hashed(bytes, hash_update_portable, hash_update_portable);
        CHECK(XXH128_isEqual(hashed(bytes, hash_update_avx2, hash_update_avx2), expected));
        CHECK(XXH128_isEqual(hashed(bytes, hash_update_avx2, hash_update_portable), expected));
        CHECK(XXH128_isEqual(hashed(bytes, hash_update_portable, hash_update_avx2), expected));
    }
}
#endif
