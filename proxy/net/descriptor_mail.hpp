// Messages between two processes of ours on one machine, with descriptors in them (unix(7), SCM_RIGHTS). A connection keeps
// the borders of messages (SOCK_SEQPACKET). Whoever is at the other end is told by the kernel, not by what it says.
#pragma once

#include "proxy/net/unique_fd.hpp"

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsteady::net {

struct mail {
    std::string text;
    std::vector<unique_fd> descriptors{};
};

inline constexpr std::size_t max_mail_text = 4096;
inline constexpr std::size_t max_mail_descriptors = 64;

/// Never waits. False: the other end is gone, or takes nothing.
[[nodiscard]] bool send_mail(int fd, std::string_view text, const std::vector<int>& descriptors = {});
/// None: the other end is gone, said nothing for so long, or said too much.
[[nodiscard]] std::optional<mail> receive_mail(int fd, std::chrono::milliseconds limit);

struct mail_peer {
    ::pid_t process = 0;
    ::uid_t user = 0;
};
[[nodiscard]] std::optional<mail_peer> mail_peer_of(int fd);

/// Null descriptor: errno says why.
[[nodiscard]] unique_fd connect_mail(const std::string& path);
/// A socket file that nobody listens on any more is replaced. Only its owner may connect to it.
[[nodiscard]] unique_fd listen_for_mail(const std::string& path);

}  // namespace pgsteady::net
