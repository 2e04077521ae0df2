// socket_address: one numeric address (IPv4, IPv6 or Unix path) ready for bind or connect. A plain value.
// It must never resolve names: that may block, see dial.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgsteady::net {

class socket_address {
public:
    socket_address() = default;
    socket_address(const sockaddr* address, socklen_t length);

    /// "127.0.0.1", "::1", "fe80::1%eth0", "[::1]"; nullopt if it is a name.
    [[nodiscard]] static std::optional<socket_address> numeric(const std::string& host, std::uint16_t port);
    /// PostgreSQL's socket in a directory: "<directory>/.s.PGSQL.<port>". nullopt if the path is too long.
    [[nodiscard]] static std::optional<socket_address> unix_socket(const std::string& directory, std::uint16_t port);
    /// 4 bytes are IPv4, 16 are IPv6, in the order of the network. nullopt: another number of them.
    [[nodiscard]] static std::optional<socket_address> of_bytes(std::string_view address, std::uint16_t port);
    [[nodiscard]] static socket_address peer_of(int fd);
    [[nodiscard]] static socket_address local_of(int fd);

    [[nodiscard]] int family() const { return storage_.ss_family; }
    [[nodiscard]] const sockaddr* data() const;
    [[nodiscard]] socklen_t size() const { return length_; }
    [[nodiscard]] std::uint16_t port() const;
    void set_port(std::uint16_t port);
    [[nodiscard]] bool is_unix() const { return family() == AF_UNIX; }
    /// Loopback or Unix socket, an IPv4 loopback inside IPv6 included.
    [[nodiscard]] bool is_local() const;
    /// "10.0.0.1:5432", "[::1]:5432", the path of a Unix socket, "unix" for an unnamed one, "unknown".
    [[nodiscard]] std::string to_string() const;

private:
    sockaddr_storage storage_{};
    socklen_t length_ = 0;
};

}  // namespace pgsteady::net
