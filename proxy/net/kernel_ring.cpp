// kernel_ring: see the header. Two halves: with liburing, and without it.
#include "proxy/net/kernel_ring.hpp"

#ifdef PGSTEADY_IO_URING

#include <liburing.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

namespace pgsteady::net {

namespace {

constexpr unsigned completions_kept = 4096;  // beyond that the kernel keeps them in memory of its own
constexpr std::uint16_t buffer_group = 0;
constexpr std::size_t page = 4096;

/// Memory that the kernel writes into: whole pages.
struct page_deleter {
    void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using pages = std::unique_ptr<T, page_deleter>;

template <class T>
pages<T> allocate_pages(std::size_t size) {
    void* const memory = std::aligned_alloc(page, size);
    if (memory == nullptr) throw std::bad_alloc();
    return pages<T>(static_cast<T*>(memory));
}

/// Whether what was refused may be asked for again.
bool passes(int error_number) {
    return error_number == EINTR || error_number == EAGAIN || error_number == EBUSY || error_number == ENOMEM ||
           error_number == ETIME;
}

std::string words(const char* what, int error_number) { return std::string(what) + ": " + std::strerror(error_number); }

}  // namespace

struct kernel_ring::parts {
    io_uring ring{};
    bool made = false;
    // Declared behind the ring: it goes first, see the destructor.
    pages<io_uring_buf_ring> free_buffers;
    pages<char> memory;
    std::uint16_t buffers = 0;  // in use

    parts() = default;
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;
    ~parts() {
        if (made) ::io_uring_queue_exit(&ring);  // before the memory that it writes into
    }
    [[nodiscard]] io_uring_sqe* next() { return ::io_uring_get_sqe(&ring); }
};

kernel_ring::kernel_ring(std::unique_ptr<parts> made) : parts_(std::move(made)) {}
kernel_ring::~kernel_ring() = default;

std::unique_ptr<kernel_ring> kernel_ring::open(std::string& problem) {
    auto made = std::make_unique<parts>();
    io_uring_params params{};
    // Work is done when the thread asks for it, not by interrupting it. Disabled, since the thread that makes a loop is
    // not always the one that runs it.
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                   IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED;
    params.cq_entries = completions_kept;
    if (const int refused = ::io_uring_queue_init_params(queue_size, &made->ring, &params); refused != 0) {
        problem = words("io_uring_setup", -refused);
        return nullptr;
    }
    made->made = true;
    constexpr unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_CQE_SKIP;
    if ((params.features & needed) != needed) {
        problem = "io_uring of this kernel lacks features";
        return nullptr;
    }
    made->free_buffers = allocate_pages<io_uring_buf_ring>(buffer_count * sizeof(io_uring_buf));
    made->memory = allocate_pages<char>(buffer_count * buffer_size);
    io_uring_buf_reg description{};
    description.ring_addr = reinterpret_cast<std::uintptr_t>(made->free_buffers.get());
    description.ring_entries = buffer_count;
    description.bgid = buffer_group;
    ::io_uring_buf_ring_init(made->free_buffers.get());
    if (const int refused = ::io_uring_register_buf_ring(&made->ring, &description, 0); refused != 0) {
        problem = words("io_uring_register", -refused);
        return nullptr;
    }
    std::unique_ptr<kernel_ring> ring(new kernel_ring(std::move(made)));
    ring->add_buffers();
    return ring;
}

bool kernel_ring::enable() {
    if (const int refused = ::io_uring_enable_rings(&parts_->ring); refused != 0) {
        errno = -refused;
        return false;
    }
    // Saves looking the descriptor up in each call; without it everything works the same.
    [[maybe_unused]] const int registered = ::io_uring_register_ring_fd(&parts_->ring);
    return true;
}

int kernel_ring::descriptor() const { return parts_->ring.ring_fd; }

unsigned kernel_ring::room() const { return ::io_uring_sq_space_left(&parts_->ring); }

void kernel_ring::receive(int fd, std::uint64_t tag) {
    io_uring_sqe* const entry = parts_->next();
    ::io_uring_prep_recv_multishot(entry, fd, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = buffer_group;
    entry->user_data = tag;
}

void kernel_ring::poll(int fd, unsigned events, bool again_and_again, std::uint64_t tag) {
    io_uring_sqe* const entry = parts_->next();
    if (again_and_again) ::io_uring_prep_poll_multishot(entry, fd, events);
    else ::io_uring_prep_poll_add(entry, fd, events);
    entry->user_data = tag;
}

void kernel_ring::cancel(std::uint64_t which, std::uint64_t tag) {
    io_uring_sqe* const entry = parts_->next();
    ::io_uring_prep_cancel64(entry, which, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag;
}

std::uint32_t kernel_ring::send(int fd, std::string_view bytes, std::uint64_t tag) {
    io_uring_sqe* const entry = parts_->next();
    // MSG_DONTWAIT: it is done, or not, within the call that hands it over. MSG_WAITALL: half of it counts as a failure,
    // since a success is not reported.
    ::io_uring_prep_send(entry, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag;
    return static_cast<std::uint32_t>(entry - parts_->ring.sq.sqes);
}

void kernel_ring::lengthen(std::uint32_t place, std::size_t size) {
    parts_->ring.sq.sqes[place].len = static_cast<std::uint32_t>(size);
}

void kernel_ring::withdraw(std::uint32_t place) {
    io_uring_sqe* const entry = parts_->ring.sq.sqes + place;
    const std::uint64_t tag = entry->user_data;
    ::io_uring_prep_nop(entry);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag;
}

void kernel_ring::enter(std::chrono::milliseconds longest) {
    io_uring* const ring = &parts_->ring;
    int done = 0;
    if (longest.count() > 0) {
        __kernel_timespec timeout{};
        timeout.tv_sec = longest.count() / 1000;
        timeout.tv_nsec = longest.count() % 1000 * 1'000'000;
        io_uring_cqe* first = nullptr;
        done = ::io_uring_submit_and_wait_timeout(ring, &first, 1, &timeout, nullptr);
    } else {
        done = ::io_uring_submit_and_get_events(ring);
    }
    // What is queued must be gone, since its bytes are not kept any longer. The kernel stops half-way for want of memory.
    while (::io_uring_sq_ready(ring) > 0) {
        if (done < 0 && !passes(-done)) throw std::system_error(-done, std::generic_category(), "io_uring_enter");
        done = ::io_uring_submit_and_get_events(ring);
    }
}

bool kernel_ring::take(ring_completion& next) {
    const io_uring_cq& queue = parts_->ring.cq;
    const unsigned head = *queue.khead;
    if (head == io_uring_smp_load_acquire(queue.ktail)) return false;
    const io_uring_cqe* const entry = &queue.cqes[head & queue.ring_mask];
    next.tag = entry->user_data;
    next.result = entry->res;
    next.more = (entry->flags & IORING_CQE_F_MORE) != 0;
    next.buffer.reset();
    if ((entry->flags & IORING_CQE_F_BUFFER) != 0)
        next.buffer = static_cast<std::uint16_t>(entry->flags >> IORING_CQE_BUFFER_SHIFT);
    ::io_uring_cq_advance(&parts_->ring, 1);
    return true;
}

std::string_view kernel_ring::buffer(std::uint16_t id, std::size_t size) const {
    return {parts_->memory.get() + id * buffer_size, size};
}

void kernel_ring::recycle(std::uint16_t id) {
    ::io_uring_buf_ring_add(parts_->free_buffers.get(), parts_->memory.get() + id * buffer_size, buffer_size, id,
                            ::io_uring_buf_ring_mask(buffer_count), 0);
    ::io_uring_buf_ring_advance(parts_->free_buffers.get(), 1);
}

void kernel_ring::add_buffers() {
    const std::uint16_t wanted = parts_->buffers == 0 ? first_buffers : static_cast<std::uint16_t>(parts_->buffers * 2);
    while (parts_->buffers < std::min(wanted, buffer_count)) recycle(parts_->buffers++);
}

}  // namespace pgsteady::net

#else

namespace pgsteady::net {

struct kernel_ring::parts {};

std::unique_ptr<kernel_ring> kernel_ring::open(std::string& problem) {
    problem = "this build is without liburing";
    return nullptr;
}

// None is ever made: nothing below is called.
kernel_ring::kernel_ring(std::unique_ptr<parts> made) : parts_(std::move(made)) {}
kernel_ring::~kernel_ring() = default;
bool kernel_ring::enable() { return false; }
int kernel_ring::descriptor() const { return -1; }
unsigned kernel_ring::room() const { return 0; }
void kernel_ring::receive(int, std::uint64_t) {}
void kernel_ring::poll(int, unsigned, bool, std::uint64_t) {}
void kernel_ring::cancel(std::uint64_t, std::uint64_t) {}
std::uint32_t kernel_ring::send(int, std::string_view, std::uint64_t) { return 0; }
void kernel_ring::lengthen(std::uint32_t, std::size_t) {}
void kernel_ring::withdraw(std::uint32_t) {}
void kernel_ring::enter(std::chrono::milliseconds) {}
bool kernel_ring::take(ring_completion&) { return false; }
std::string_view kernel_ring::buffer(std::uint16_t, std::size_t) const { return {}; }
void kernel_ring::recycle(std::uint16_t) {}
void kernel_ring::add_buffers() {}

}  // namespace pgsteady::net

#endif
