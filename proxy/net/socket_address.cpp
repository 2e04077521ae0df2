// socket_address: see the header.
#include "proxy/net/socket_address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace pgsteady::net {

namespace {

template <typename Address>
Address viewed_as(const sockaddr_storage& storage) {
    Address address{};
    std::memcpy(&address, &storage, sizeof address);
    return address;
}

std::string numeric_host(const sockaddr* address, socklen_t length) {
    std::array<char, NI_MAXHOST> text{};
    const int failed = ::getnameinfo(address, length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
    return failed == 0 ? std::string(text.data()) : std::string("unknown");
}

}  // namespace

socket_address::socket_address(const sockaddr* address, socklen_t length)
    : length_(std::min<socklen_t>(length, sizeof storage_)) {
    std::memcpy(&storage_, address, length_);
}

const sockaddr* socket_address::data() const { return reinterpret_cast<const sockaddr*>(&storage_); }

std::optional<socket_address> socket_address::numeric(const std::string& host, std::uint16_t port) {
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    const std::string bare = bracketed ? host.substr(1, host.size() - 2) : host;
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    // AI_NUMERICHOST: text to bytes only (and the scope of a link-local address), never a query.
    if (bare.empty() || ::getaddrinfo(bare.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
    socket_address address(found->ai_addr, found->ai_addrlen);
    ::freeaddrinfo(found);
    address.set_port(port);
    return address;
}

std::optional<socket_address> socket_address::unix_socket(const std::string& directory, std::uint16_t port) {
    const std::string path = directory + (directory.ends_with('/') ? "" : "/") + ".s.PGSQL." + std::to_string(port);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return std::nullopt;
    path.copy(address.sun_path, path.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return socket_address(reinterpret_cast<const sockaddr*>(&address), length);
}

std::optional<socket_address> socket_address::of_bytes(std::string_view address, std::uint16_t port) {
    socket_address made;
    if (address.size() == sizeof(in_addr)) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        std::memcpy(&in.sin_addr, address.data(), address.size());
        made = socket_address(reinterpret_cast<const sockaddr*>(&in), sizeof(in));
    } else if (address.size() == sizeof(in6_addr)) {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        std::memcpy(&in.sin6_addr, address.data(), address.size());
        made = socket_address(reinterpret_cast<const sockaddr*>(&in), sizeof(in));
    } else {
        return std::nullopt;
    }
    made.set_port(port);
    return made;
}

socket_address socket_address::peer_of(int fd) {
    socket_address address;
    address.length_ = sizeof address.storage_;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address.storage_), &address.length_) != 0) return {};
    return address;
}

socket_address socket_address::local_of(int fd) {
    socket_address address;
    address.length_ = sizeof address.storage_;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage_), &address.length_) != 0) return {};
    return address;
}

std::uint16_t socket_address::port() const {
    if (family() == AF_INET) return ntohs(viewed_as<sockaddr_in>(storage_).sin_port);
    if (family() == AF_INET6) return ntohs(viewed_as<sockaddr_in6>(storage_).sin6_port);
    return 0;
}

void socket_address::set_port(std::uint16_t port) {
    // Both families keep the port at the same place; a Unix path has none.
    static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
    if (family() != AF_INET && family() != AF_INET6) return;
    const std::uint16_t in_network_order = htons(port);
    std::memcpy(reinterpret_cast<char*>(&storage_) + offsetof(sockaddr_in, sin_port), &in_network_order,
                sizeof in_network_order);
}

bool socket_address::is_local() const {
    const auto is_loopback = [](std::uint32_t in_network_order) { return (ntohl(in_network_order) >> 24) == 127; };
    if (family() == AF_UNIX) return true;
    if (family() == AF_INET) return is_loopback(viewed_as<sockaddr_in>(storage_).sin_addr.s_addr);
    if (family() != AF_INET6) return false;
    const in6_addr address = viewed_as<sockaddr_in6>(storage_).sin6_addr;
    if (IN6_IS_ADDR_LOOPBACK(&address)) return true;
    std::uint32_t mapped = 0;
    std::memcpy(&mapped, &address.s6_addr[12], sizeof mapped);
    return IN6_IS_ADDR_V4MAPPED(&address) && is_loopback(mapped);
}

std::string socket_address::to_string() const {
    if (family() == AF_INET) return numeric_host(data(), size()) + ":" + std::to_string(port());
    if (family() == AF_INET6) return "[" + numeric_host(data(), size()) + "]:" + std::to_string(port());
    if (family() != AF_UNIX) return "unknown";
    const auto address = viewed_as<sockaddr_un>(storage_);
    const std::size_t longest =
        length_ > offsetof(sockaddr_un, sun_path) ? length_ - offsetof(sockaddr_un, sun_path) : 0;
    const std::string path(address.sun_path, ::strnlen(address.sun_path, std::min(longest, sizeof address.sun_path)));
    return path.empty() ? "unix" : path;
}

}  // namespace pgsteady::net
