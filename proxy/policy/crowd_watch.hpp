// Whether a crowd of clients has left, so that the memory which it used is better given back to the system than kept: the
// allocator keeps what is freed in small pieces for ever. Must not say so of ordinary coming and going, which would ask for
// the same pages again. Pure: time is an argument. Owned by a worker.
#pragma once

#include <chrono>
#include <cstddef>

namespace pgsteady {

class crowd_watch {
public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Fewer are not worth the trouble: about half a megabyte.
    static constexpr std::size_t smallest_crowd = 256;
    /// Who leaves at once may also come back at once.
    static constexpr std::chrono::seconds patience{2};

    /// `clients` are here now. True once for each crowd: half of the most that were seen have been gone for a while.
    [[nodiscard]] bool has_left(std::size_t clients, time_point now) {
        if (clients > most_) most_ = clients;
        if (most_ < smallest_crowd || clients > most_ / 2) {
            fewer_since_ = {};
            return false;
        }
        if (fewer_since_ == time_point{}) fewer_since_ = now;
        if (now - fewer_since_ < patience) return false;
        most_ = clients;
        fewer_since_ = {};
        return true;
    }

private:
    std::size_t most_ = 0;
    time_point fewer_since_{};  // the epoch: not now
};

}  // namespace pgsteady
