// What a new server session is asked and told, in one round trip: what kind of server it is, who we are there, and the
// settings of ours (own_settings.hpp). Texts and rows only; server_connection sends them. What the server says is hostile.
#pragma once

#include "protocol/wire.hpp"

#include "config/config.hpp"

#include "proxy/session/server_link.hpp"
#include "proxy/session/settings.hpp"

#include <string>
#include <string_view>

namespace pgsteady {

/// `less`: where the whole of it is not allowed.
[[nodiscard]] std::string_view setup_query(bool less);
/// The row that answers either.
void take_setup_row(std::string_view body, server_link& link);

/// Sets what is ours, but for what the client of this session has chosen itself (`chosen`). Empty: nothing is to be set.
/// Only what this version knows (D11): a name that it does not know would fail the rest.
[[nodiscard]] std::string own_settings_query(const config::settings& all, int version_num, bool unix_socket,
                                             const settings& chosen);

/// The next column of a DataRow; empty for NULL and at the end of the row.
[[nodiscard]] std::string_view next_column(wire_reader& row);

}  // namespace pgsteady
