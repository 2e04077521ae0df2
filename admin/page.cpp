#include "admin/page.hpp"

#include <openssl/evp.h>

#include <array>

namespace pgsteady::admin {
namespace {

/// What stands between the first `<name …>` and its end; the digest is of exactly these bytes.
[[nodiscard]] std::string_view content_of(std::string_view document, std::string_view name) {
    const std::size_t tag = document.find('<' + std::string(name));
    const std::size_t begin = document.find('>', tag);
    const std::size_t end = document.find("</" + std::string(name) + '>', begin);
    if (tag == std::string_view::npos || begin == std::string_view::npos || end == std::string_view::npos) return {};
    return document.substr(begin + 1, end - begin - 1);
}

/// As a source of the policy: 'sha256-…' (CSP 3, 2.3.1).
[[nodiscard]] std::string digest_source(std::string_view of) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    EVP_Digest(of.data(), of.size(), digest.data(), &length, EVP_sha256(), nullptr);
    std::array<unsigned char, EVP_MAX_MD_SIZE * 2> text{};
    const int written = EVP_EncodeBlock(text.data(), digest.data(), static_cast<int>(length));
    return "'sha256-" + std::string(reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(written)) +
           '\'';
}

}  // namespace

std::string page_policy(std::string_view document) {
    return "default-src 'none'; script-src " + digest_source(content_of(document, "script")) + "; style-src " +
           digest_source(content_of(document, "style")) +
           "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
           "require-trusted-types-for 'script'; trusted-types 'none'";
}

response page_answer() {
    static const std::string policy = page_policy(page_html());
    response result{.content_type = "text/html; charset=utf-8", .body = std::string(page_html())};
    result.headers = {{"Content-Security-Policy", policy},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Cross-Origin-Resource-Policy", "same-origin"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Vary", "Accept"}};
    return result;
}

}  // namespace pgsteady::admin
