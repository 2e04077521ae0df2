// Tells systemd how the service is doing (sd_notify's datagram), where NOTIFY_SOCKET asks for it.
#pragma once

#include <string_view>

namespace pgsteady {

/// Sends one state line, e.g. "READY=1". Does nothing without a service manager; failures are of no consequence.
void notify_service_manager(std::string_view state);

}  // namespace pgsteady
