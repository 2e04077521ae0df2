// How much the journals of one worker hold in all (replay.max_total, divided among workers), and each journal's share of
// it, which it gives back by itself. What would go beyond is not kept: that transaction cannot be replayed, and no other
// suffers for it. Plain state of one worker; must outlive the server connections that have a share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace pgsteady {

struct journal_budget {
    std::size_t limit = std::size_t{256} * 1024 * 1024;
    std::size_t used = 0;
    std::uint64_t refused = 0;  ///< journals that were given up for want of it, since start
};

class budget_share {
public:
    budget_share() = default;
    budget_share(budget_share&& other) noexcept
        : from_(std::exchange(other.from_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    budget_share& operator=(budget_share&& other) noexcept {
        std::swap(from_, other.from_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~budget_share() { release(); }

    /// False: it is used up, and nothing was taken.
    [[nodiscard]] bool take(journal_budget& from, std::size_t more) {
        if (from.used + more > from.limit) {
            ++from.refused;
            return false;
        }
        from_ = &from;
        from.used += more;
        bytes_ += more;
        return true;
    }
    void release() {
        if (from_ != nullptr) from_->used -= bytes_;
        from_ = nullptr;
        bytes_ = 0;
    }

private:
    journal_budget* from_ = nullptr;
    std::size_t bytes_ = 0;
};

}  // namespace pgsteady
