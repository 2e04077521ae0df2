// What is to be written to one side, as pieces: views into the buffer that was just read, and
// bytes of our own. One gather becomes one write, so that a rewritten batch costs no extra syscall.
// Views are valid only until the read buffer is reused: the owner flushes before it reads again.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady {

class gather {
public:
    /// Appends bytes that stay where they are. Adjacent views join; small ones are copied behind our own bytes.
    void view(std::string_view bytes) {
        if (bytes.empty()) return;
        size_ += bytes.size();
        if (!pieces_.empty()) {
            piece& last = pieces_.back();
            if (last.data != nullptr && last.data + last.size == bytes.data()) {
                last.size += bytes.size();
                return;
            }
            if (bytes.size() <= copy_below) {
                append_own(bytes);
                return;
            }
        }
        pieces_.push_back({bytes.data(), 0, bytes.size()});
    }

    /// Appends bytes by copying them.
    void copy(std::string_view bytes) {
        if (bytes.empty()) return;
        size_ += bytes.size();
        append_own(bytes);
    }

    /// Appends bytes that the caller writes there, before anything else is appended.
    [[nodiscard]] char* room(std::size_t bytes) {
        size_ += bytes;
        const std::size_t offset = own_.size();
        own_.resize(offset + bytes);
        note_own(offset, bytes);
        return own_.data() + offset;
    }

    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t pieces() const { return pieces_.size(); }

    /// Calls `take(std::string_view)` for each piece, leaving out the first `skip` bytes.
    template <class taker>
    void for_each_piece(std::size_t skip, taker take) const {
        for (const piece& each : pieces_) {
            if (skip >= each.size) {
                skip -= each.size;
                continue;
            }
            const char* begin = (each.data != nullptr ? each.data : own_.data() + each.offset) + skip;
            take(std::string_view(begin, each.size - skip));
            skip = 0;
        }
    }

    /// Fills `out` with the pieces.
    void to_iovec(std::vector<iovec>& out) const {
        out.clear();
        for_each_piece(0, [&out](std::string_view each) {
            out.push_back({const_cast<char*>(each.data()), each.size()});
        });
    }

    /// Appends everything behind the first `skip` bytes to `out`.
    void append_to(std::string& out, std::size_t skip = 0) const {
        for_each_piece(skip, [&out](std::string_view each) { out += each; });
    }

    /// Takes away everything behind the first `keep` bytes.
    void cut(std::size_t keep) {
        while (size_ > keep) {
            piece& last = pieces_.back();
            const std::size_t surplus = std::min(last.size, size_ - keep);
            last.size -= surplus;
            size_ -= surplus;
            if (last.data == nullptr) own_.resize(last.offset + last.size);
            if (last.size == 0) pieces_.pop_back();
        }
    }

    [[nodiscard]] std::string str() const {
        std::string all;
        append_to(all);
        return all;
    }

    void clear() {
        pieces_.clear();
        own_.clear();
        if (own_.capacity() > shrink_above) own_.shrink_to_fit();
        size_ = 0;
    }

private:
    static constexpr std::size_t copy_below = 1024;
    static constexpr std::size_t shrink_above = 256 * 1024;

    struct piece {
        const char* data;  // nullptr: own_ at offset
        std::size_t offset;
        std::size_t size;
    };

    void append_own(std::string_view bytes) {
        const std::size_t offset = own_.size();
        own_.append(bytes);
        note_own(offset, bytes.size());
    }

    void note_own(std::size_t offset, std::size_t bytes) {
        if (!pieces_.empty() && pieces_.back().data == nullptr) pieces_.back().size += bytes;
        else pieces_.push_back({nullptr, offset, bytes});
    }

    std::vector<piece> pieces_;
    std::string own_;
    std::size_t size_ = 0;
};

}  // namespace pgsteady
