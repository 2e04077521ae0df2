// The floor: a bare TCP relay, one server connection per client, one thread, no PostgreSQL logic.
// It does what no proxy can avoid (two receives, two sends and a share of epoll_wait for each round
// trip) and nothing else, so its CPU per transaction is the unit in which bench.py states every
// peer's cost. It must never grow features. Only bench.py starts it; nothing links against it.
//
// Usage: relay LISTEN_PORT TARGET_HOST TARGET_PORT   (numeric IPv4; port 0 lets the kernel choose)

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

constexpr std::size_t buffer_size = std::size_t{64} * 1024;
constexpr std::size_t events_per_wait = 256;

struct connection;

// One socket of a pair. `unsent` is what the peer sent and this socket's kernel buffer had no room
// for. While it is not empty the peer is not read, so it never exceeds one buffer.
struct endpoint {
    int fd = -1;
    endpoint* peer = nullptr;
    connection* owner = nullptr;
    std::vector<char> unsent;
};

// Owned by the epoll registrations of its two sockets. Freed at the end of a batch of events: a later
// event of the same batch may still point into it.
struct connection {
    endpoint client;
    endpoint server;
};

int epoll_fd = -1;
std::array<char, buffer_size> shared_buffer;
std::vector<connection*> closed;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

void watch(endpoint& end, std::uint32_t interest, int operation) {
    epoll_event event{};
    event.events = interest;
    event.data.ptr = &end;
    if (epoll_ctl(epoll_fd, operation, end.fd, &event) != 0) fail("epoll_ctl");
}

bool is_open(const endpoint& end) { return end.fd >= 0; }

void close_both(endpoint& end) {
    close(end.fd);
    close(end.peer->fd);
    end.fd = end.peer->fd = -1;
    closed.push_back(end.owner);
}

void free_closed() {
    for (connection* each : closed) delete each;
    closed.clear();
}

// Reads where the other side has room, and asks for room where something is left to send.
void update_interest(endpoint& end) {
    const std::uint32_t in = end.peer->unsent.empty() ? EPOLLIN : 0U;
    const std::uint32_t out = end.unsent.empty() ? 0U : EPOLLOUT;
    watch(end, in | out, EPOLL_CTL_MOD);
}

// The steady state is one recv and one send; epoll_ctl is called only when the receiver is full.
void forward(endpoint& from) {
    const ssize_t received = recv(from.fd, shared_buffer.data(), shared_buffer.size(), MSG_DONTWAIT);
    if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) return close_both(from);

    endpoint& to = *from.peer;
    const auto size = static_cast<std::size_t>(received);
    ssize_t sent = send(to.fd, shared_buffer.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return close_both(from);
    if (sent < 0) sent = 0;
    if (sent == received) return;

    to.unsent.assign(shared_buffer.data() + sent, shared_buffer.data() + received);
    update_interest(from);
    update_interest(to);
}

void flush(endpoint& to) {
    const ssize_t sent = send(to.fd, to.unsent.data(), to.unsent.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return close_both(to);
    to.unsent.erase(to.unsent.begin(), to.unsent.begin() + sent);
    if (!to.unsent.empty()) return;
    update_interest(to);
    update_interest(*to.peer);
}

void on_ready(endpoint& end, std::uint32_t events) {
    if (is_open(end) && (events & EPOLLOUT) != 0) flush(end);
    if (is_open(end) && (events & EPOLLIN) != 0) return forward(end);
    // Reported even where nothing is asked for; what has not been sent by now has nowhere to go.
    if (is_open(end) && (events & (EPOLLERR | EPOLLHUP)) != 0) close_both(end);
}

// Blocking: the target listens on this machine, so the kernel completes it by itself.
int connect_to(const sockaddr_in& target) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    if (connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0) return fd;
    close(fd);
    return -1;
}

void attach(endpoint& end, int fd, endpoint& peer, connection& owner) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    end.fd = fd;
    end.peer = &peer;
    end.owner = &owner;
    watch(end, EPOLLIN, EPOLL_CTL_ADD);
}

void accept_client(int listener, const sockaddr_in& target) {
    const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = connect_to(target);
    if (server < 0) {
        close(client);
        return;
    }
    auto* pair = new connection;
    attach(pair->client, client, pair->server, *pair);
    attach(pair->server, server, pair->client, *pair);
}

std::uint16_t parse_port(const char* text) {
    std::uint16_t port = 0;
    const char* end = text + std::strlen(text);
    const auto [stop, error] = std::from_chars(text, end, port);
    if (error == std::errc{} && stop == end) return port;
    std::fprintf(stderr, "relay: not a port: %s\n", text);
    std::exit(2);
}

sockaddr_in parse_address(const char* host, const char* port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(parse_port(port));
    if (inet_pton(AF_INET, host, &address.sin_addr) == 1) return address;
    std::fprintf(stderr, "relay: not an IPv4 address: %s\n", host);
    std::exit(2);
}

int listen_on(const char* port) {
    sockaddr_in address = parse_address("127.0.0.1", port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
    if (listen(fd, SOMAXCONN) != 0) fail("listen");

    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) fail("getsockname");
    std::printf("listening on 127.0.0.1:%u\n", static_cast<unsigned>(ntohs(address.sin_port)));
    std::fflush(stdout);
    return fd;
}

[[noreturn]] void run(int listener, const sockaddr_in& target) {
    std::array<epoll_event, events_per_wait> events{};
    for (;;) {
        const int count = epoll_wait(epoll_fd, events.data(), static_cast<int>(events.size()), -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            auto* end = static_cast<endpoint*>(event.data.ptr);
            if (end == nullptr) {
                accept_client(listener, target);
            } else {
                on_ready(*end, event.events);
            }
        }
        free_closed();
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: relay LISTEN_PORT TARGET_HOST TARGET_PORT\n");
        return 2;
    }
    const sockaddr_in target = parse_address(argv[2], argv[3]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) fail("epoll_create1");

    const int listener = listen_on(argv[1]);
    epoll_event event{};
    event.events = EPOLLIN;  // data.ptr stays null: that is the listener
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");
    run(listener, target);
}
