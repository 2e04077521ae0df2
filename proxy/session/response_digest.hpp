// What a client has been answered, in 16 bytes: whether a second run of the same request says the same (recovery.md 2.3, 2.5).
// One pass over bytes that the read buffer has in cache; frames that lie side by side are hashed in one go. Only what a
// client can take for the result counts: no notices, parameters or notifications, and of an error its SQLSTATE (T12).
// Never compared across versions of this product. Pure; a part of transaction_journal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace pgsteady {

/// Equal values: the same frames in the same order, as surely as 128 bits tell.
struct digest_value {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::uint64_t bytes = 0;

    bool operator==(const digest_value&) const = default;
};

class response_digest {
public:
    /// A frame, or a part of one. Must stay where it is until settle(), value() or the next call of add().
    void add(std::string_view bytes) {
        bytes_ += bytes.size();
        if (!pending_.empty() && pending_.data() + pending_.size() == bytes.data()) {
            pending_ = {pending_.data(), pending_.size() + bytes.size()};
            return;
        }
        settle();
        pending_ = bytes;
    }
    /// An ErrorResponse: nothing of it but its code.
    void add_error(std::string_view sqlstate);
    /// The buffer that frames lie in is about to be reused.
    void settle() {
        if (!pending_.empty()) take_pending();
    }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    /// Of everything since begin().
    [[nodiscard]] digest_value value();
    void begin();

private:
    struct hash_state;
    struct free_state {
        void operator()(hash_state* state) const;
    };
    void take_pending();

    std::unique_ptr<hash_state, free_state> state_;  // made when first needed: most connections never need one
    bool fresh_ = true;                              // nothing has been hashed since begin()
    std::string_view pending_;
    std::uint64_t bytes_ = 0;
};

}  // namespace pgsteady
