// The few questions that plain settings cannot answer by themselves.
#include "config/config.hpp"

namespace pgsteady::config {

bool is_loopback(const std::string& host) {
    if (host == "localhost" || host == "::1" || host.starts_with('/')) return true;
    // A name such as 127.example.org is no address.
    return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

}  // namespace pgsteady::config
