// See response_digest.hpp.
#include "proxy/session/response_digest.hpp"

#include "protocol/frame.hpp"

#include "proxy/session/hash_update.hpp"

#define XXH_INLINE_ALL  // nothing to link or to install where the product runs
#include <xxhash.h>

namespace pgsteady {

struct response_digest::hash_state {
    XXH3_state_t xxh;
};

void response_digest::free_state::operator()(hash_state* state) const { delete state; }

void response_digest::take_pending() {
    if (state_ == nullptr) state_.reset(new hash_state);
    if (fresh_) XXH3_128bits_reset(&state_->xxh);
    fresh_ = false;
    hash_update(&state_->xxh, pending_.data(), pending_.size());
    pending_ = {};
}

void response_digest::add_error(std::string_view sqlstate) {
    settle();
    const char type = backend_message::error_response;
    add(std::string_view(&type, 1));
    settle();
    add(sqlstate);
    settle();
}

digest_value response_digest::value() {
    if (fresh_) {
        if (pending_.empty()) return {};
        const XXH128_hash_t hash = XXH3_128bits(pending_.data(), pending_.size());  // the same, for less
        return {hash.low64, hash.high64, bytes_};
    }
    settle();
    const XXH128_hash_t hash = XXH3_128bits_digest(&state_->xxh);
    return {hash.low64, hash.high64, bytes_};
}

void response_digest::begin() {
    fresh_ = true;
    pending_ = {};
    bytes_ = 0;
}

}  // namespace pgsteady
