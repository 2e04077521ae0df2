#include "protocol/constant_time.hpp"

#include <openssl/crypto.h>

namespace pgsteady {

bool constant_time_equal(std::string_view left, std::string_view right) {
    if (left.size() != right.size()) return false;
    return left.empty() || CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

void wipe(std::string& secret) {
    secret.resize(secret.capacity());  // a shortened text leaves its old bytes behind its end
    OPENSSL_cleanse(secret.data(), secret.size());
    secret.clear();
}

}  // namespace pgsteady
