// The handlers of everything that changes something: body in, order out, what it did as an answer and an audit line.
#pragma once

#include "admin/router.hpp"

namespace pgsteady::admin {

[[nodiscard]] reply put_retry_config(const request& from, const route_context& context);
[[nodiscard]] reply put_switches(const request& from, const route_context& context);

[[nodiscard]] reply post_recover(const request& from, const route_context& context);
[[nodiscard]] reply post_breaker_reset(const request& from, const route_context& context);
[[nodiscard]] reply post_reload(const request& from, const route_context& context);
[[nodiscard]] reply post_hold(const request& from, const route_context& context);
[[nodiscard]] reply post_resume(const request& from, const route_context& context);
[[nodiscard]] reply post_switchover(const request& from, const route_context& context);
[[nodiscard]] reply post_pool_pause(const request& from, const route_context& context);
[[nodiscard]] reply post_pool_resume(const request& from, const route_context& context);
[[nodiscard]] reply post_pool_reconnect(const request& from, const route_context& context);
[[nodiscard]] reply get_sessions(const request& from, const route_context& context);
[[nodiscard]] reply delete_session(const request& from, const route_context& context);
[[nodiscard]] reply post_health_check(const request& from, const route_context& context);
/// Changes nothing, so it needs no operate token as long as it asks what everybody may know (D36).
[[nodiscard]] reply post_test_connection(const request& from, const route_context& context);

}  // namespace pgsteady::admin
