// See descriptor_mail.hpp.
#include "proxy/net/descriptor_mail.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace pgsteady::net {

namespace {

using control_space = std::array<char, CMSG_SPACE(max_mail_descriptors * sizeof(int))>;

std::optional<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return std::nullopt;
    }
    std::copy(path.begin(), path.end(), address.sun_path);
    return address;
}

unique_fd made() { return unique_fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

std::vector<unique_fd> descriptors_in(const msghdr& message) {
    std::vector<unique_fd> result;
    for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
         each = CMSG_NXTHDR(const_cast<msghdr*>(&message), each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(each) + i * sizeof(int), sizeof fd);
            result.emplace_back(fd);
        }
    }
    return result;
}

}  // namespace

bool send_mail(int fd, std::string_view text, const std::vector<int>& descriptors) {
    if (descriptors.size() > max_mail_descriptors || text.size() > max_mail_text) return false;
    iovec body{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    alignas(cmsghdr) control_space control{};
    if (!descriptors.empty()) {
        const std::size_t bytes = descriptors.size() * sizeof(int);
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(bytes);
        cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(bytes);
        std::memcpy(CMSG_DATA(head), descriptors.data(), bytes);
    }
    return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(text.size());
}

std::optional<mail> receive_mail(int fd, std::chrono::milliseconds limit) {
    pollfd waiting{fd, POLLIN, 0};
    int ready = 0;
    do ready = ::poll(&waiting, 1, static_cast<int>(limit.count()));
    while (ready < 0 && errno == EINTR);
    if (ready <= 0) return std::nullopt;
    std::array<char, max_mail_text> text{};
    iovec body{text.data(), text.size()};
    alignas(cmsghdr) control_space control{};
    msghdr message{};
    message.msg_iov = &body;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t count = ::recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count <= 0) return std::nullopt;
    mail result{std::string(text.data(), static_cast<std::size_t>(count)), descriptors_in(message)};
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return std::nullopt;
    return result;
}

std::optional<mail_peer> mail_peer_of(int fd) {
    ucred who{};
    socklen_t size = sizeof who;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0) return std::nullopt;
    return mail_peer{who.pid, who.uid};
}

unique_fd connect_mail(const std::string& path) {
    const auto address = address_of(path);
    unique_fd fd = made();
    if (!address || !fd) return {};
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) return {};
    return fd;
}

unique_fd listen_for_mail(const std::string& path) {
    const auto address = address_of(path);
    unique_fd fd = made();
    if (!address || !fd) return {};
    struct stat file {};
    if (::lstat(path.c_str(), &file) == 0 && S_ISSOCK(file.st_mode) && !connect_mail(path) && errno == ECONNREFUSED)
        ::unlink(path.c_str());
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) return {};
    if (::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || ::listen(fd.get(), 4) != 0) return {};
    return fd;
}

}  // namespace pgsteady::net
