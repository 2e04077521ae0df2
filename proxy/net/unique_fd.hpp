// unique_fd: sole owner of one file descriptor.
// Must never be copied, and never close a descriptor that it has released. Owned by whoever holds it by value.
#pragma once

#include <unistd.h>

#include <utility>

namespace pgsteady::net {

class unique_fd {
public:
    unique_fd() = default;
    explicit unique_fd(int fd) : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    unique_fd(const unique_fd&) = delete;
    unique_fd& operator=(const unique_fd&) = delete;
    ~unique_fd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    void reset(int fd = -1) {
        const int old = std::exchange(fd_, fd);
        // Not retried on EINTR: Linux has freed the number by then, and a retry could close a stranger's.
        if (old >= 0) ::close(old);
    }

private:
    int fd_ = -1;
};

}  // namespace pgsteady::net
