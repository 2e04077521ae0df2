// kernel_ring: one io_uring of one thread, as much of it as streams need: what to do goes in, what was done comes out.
// The only place that knows liburing; without it at build time, or without the kernel's consent, open() gives none.
// It must never block but in enter(), and never complete anything for who does not recognise its tag.
// Owned by a uring_engine; every call but open() and the destructor on the thread that enabled it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady::net {

/// What became of one operation, named by the tag that it was given.
struct ring_completion {
    std::uint64_t tag = 0;
    int result = 0;     ///< bytes, events of a poll, or a negative errno
    bool more = false;  ///< the operation goes on: there will be further completions
    /// Of a receive with data: which buffer holds it. To be recycled.
    std::optional<std::uint16_t> buffer;
};

class kernel_ring {
public:
    static constexpr std::size_t buffer_size = 4096;
    /// Shared by all streams of a loop, at most 1 MiB. The kernel goes round in them, so all that it has are in use after some
    /// time: it has few, and is given more when they did not do. Whoever gets none, since so many have received in one
    /// turn, is told so by ENOBUFS and reads in person.
    static constexpr std::uint16_t buffer_count = 256;
    static constexpr std::uint16_t first_buffers = 16;
    static constexpr unsigned queue_size = 512;

    /// Null if the kernel refuses any part of what is needed (it is that of 6.1, without seccomp's filter); `problem`
    /// then says so in a sentence's half. Not yet enabled.
    [[nodiscard]] static std::unique_ptr<kernel_ring> open(std::string& problem);
    ~kernel_ring();
    kernel_ring(const kernel_ring&) = delete;
    kernel_ring& operator=(const kernel_ring&) = delete;

    /// Makes the calling thread the one whose ring it is. False: errno says why.
    [[nodiscard]] bool enable();

    /// Can be polled, by any thread: it is readable while there are completions that have not been taken.
    [[nodiscard]] int descriptor() const;
    /// How many operations can be queued before the next enter().
    [[nodiscard]] unsigned room() const;
    // Queue one operation each; room() has been looked at. Completions of what succeeds: receive and poll only.
    void receive(int fd, std::uint64_t tag);  ///< again and again, until an end, an error, or no buffer is left
    void poll(int fd, unsigned events, bool again_and_again, std::uint64_t tag);
    void cancel(std::uint64_t which, std::uint64_t tag);
    /// Sends without waiting, all or as much as there is room for. The bytes stay valid until the next enter() is over; by
    /// then it is done. A completion comes only if not everything was sent. Returns its place in the queue.
    [[nodiscard]] std::uint32_t send(int fd, std::string_view bytes, std::uint64_t tag);
    /// Changes a send that is still queued: so many bytes from the same beginning; none at all.
    void lengthen(std::uint32_t place, std::size_t size);
    void withdraw(std::uint32_t place);

    /// Hands over what is queued, and waits for the first completion, at most so long (0: does not wait).
    void enter(std::chrono::milliseconds longest);
    /// The next completion that nobody has taken yet.
    [[nodiscard]] bool take(ring_completion& next);

    [[nodiscard]] std::string_view buffer(std::uint16_t id, std::size_t size) const;
    void recycle(std::uint16_t id);
    /// As many as there are once more, until there are buffer_count.
    void add_buffers();

private:
    struct parts;
    explicit kernel_ring(std::unique_ptr<parts> made);

    std::unique_ptr<parts> parts_;
};

}  // namespace pgsteady::net
