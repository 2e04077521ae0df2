// See successor.hpp.
#include "proxy/successor.hpp"

#include "proxy/worker/log.hpp"

#include <climits>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

namespace pgsteady {

std::string own_program() {
    std::string path(PATH_MAX, '\0');
    const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
    path.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
    return path;
}

void start_successor(const std::string& program, const std::vector<std::string>& arguments) {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
    argv.push_back(nullptr);
    posix_spawnattr_t how;
    sigset_t none;
    sigemptyset(&none);
    ::posix_spawnattr_init(&how);
    ::posix_spawnattr_setsigmask(&how, &none);  // ours are taken on one thread, and blocked in all others
    ::posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
    ::pid_t child = 0;
    const int problem = ::posix_spawn(&child, program.c_str(), nullptr, &how, argv.data(), environ);
    ::posix_spawnattr_destroy(&how);
    if (problem != 0) return log::error("takeover: cannot start {}: {}", program, std::strerror(problem));
    log::info("takeover: started {} as process {}", program, child);
    std::thread([child] {
        int status = 0;
        while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        log::warning("takeover: process {} ended with {}", child,
                     WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }).detach();
}

}  // namespace pgsteady
