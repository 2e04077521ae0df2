// XXH3 over the bytes of an answer, with the widest vectors of this CPU: large results go through it whole, and it is most of what
// following them costs. Compiled twice; both say the same of the same bytes, so one may go on where the other stopped. The
// files that define these include nothing of C++: an inline function compiled for AVX2 must not be linked for everybody.
// A part of response_digest.
#pragma once

#include <cstddef>

namespace pgsteady {

void hash_update_portable(void* state, const char* bytes, std::size_t count);
/// Only where the CPU has AVX2.
void hash_update_avx2(void* state, const char* bytes, std::size_t count);

/// Continues `state`, an XXH3_state_t (the header renames it where it is inlined) that XXH3_128bits_reset has begun.
inline void hash_update(void* state, const char* bytes, std::size_t count) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) return hash_update_avx2(state, bytes, count);
#endif
    hash_update_portable(state, bytes, count);
}

}  // namespace pgsteady
