// See hash_update.hpp. Compiled with -mavx2 where that exists.
#include "proxy/session/hash_update.hpp"

#define XXH_INLINE_ALL  // nothing to link or to install where the product runs
#include <xxhash.h>

namespace pgsteady {

void hash_update_avx2(void* state, const char* bytes, std::size_t count) {
    XXH3_128bits_update(static_cast<XXH3_state_t*>(state), bytes, count);
}

}  // namespace pgsteady
