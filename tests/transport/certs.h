#ifndef ZK_TESTS_TRANSPORT_CERTS_H
#define ZK_TESTS_TRANSPORT_CERTS_H

/*
 * Certificates for tests, valid from 2020 to 2099: "a" and "b", each with
 * its name, by one authority; one by another, for the name "c".  Their keys are
 * here for all to see: they protect nothing.
 */

static const char CERT_CA[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBUjCB+aADAgECAgEBMAoGCCqGSM49BAMCMBgxFjAUBgNVBAMMDXprZnMgdGVz\n"
    "dCBjYTEwIBcNMjAwMTAxMDAwMDAwWhgPMjA5OTEyMzEyMzU5NTlaMBgxFjAUBgNV\n"
    "BAMMDXprZnMgdGVzdCBjYTEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATm98ku\n"
    "DXLHU1F1f9Q93O6o5+Z/evZYjyd1Q9qdBql9jSxPpZZEht5f4PZI46LCKGPOBjau\n"
    "LmXBww3AuMg1SldgozIwMDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBR4Cwrb\n"
    "QBT+Q4XLK41W5QJB3yXhpDAKBggqhkjOPQQDAgNIADBFAiAmaFbceYV+bi7qmiPF\n"
    "IHCobOpZFhFUNehZa9Jv71CmWgIhAJKgB8DiA2RKJUCmkKPoImrbOGykakBlpPoD\n"
    "8Jw3LkZf\n"
    "-----END CERTIFICATE-----\n";

static const char CERT_A[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBZTCCAQugAwIBAgIBAjAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA16a2ZzIHRl\n"
    "c3QgY2ExMCAXDTIwMDEwMTAwMDAwMFoYDzIwOTkxMjMxMjM1OTU5WjAMMQowCAYD\n"
    "VQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpXxafFoVwllZw9Io1xj6\n"
    "ff5F8MWrBcbnxBWkZmQlrySKRE+BZQ6HNIU/GTlA97PjYzuT4oNLANychdYVbP45\n"
    "bKNQME4wDAYDVR0RBAUwA4IBYTAdBgNVHQ4EFgQUa+08ra1O7HokMWk3snIbx6o3\n"
    "LgUwHwYDVR0jBBgwFoAUeAsK20AU/kOFyyuNVuUCQd8l4aQwCgYIKoZIzj0EAwID\n"
    "SAAwRQIhALJ77EpUjM708j9efq7zO6ad0DVJ/1gxufCKcFWTUAEaAiB0/++wk+4W\n"
    "N1LoqhBR1VvazpF8xQFFrfdl8g6A3zBWbQ==\n"
    "-----END CERTIFICATE-----\n";

static const char CERT_A_KEY[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEILKeZHMuUDnnv3qMBzF5Omoz/SSkfvhUTtOVJIFTvuR/oAoGCCqGSM49\n"
    "AwEHoUQDQgAEpXxafFoVwllZw9Io1xj6ff5F8MWrBcbnxBWkZmQlrySKRE+BZQ6H\n"
    "NIU/GTlA97PjYzuT4oNLANychdYVbP45bA==\n"
    "-----END EC PRIVATE KEY-----\n";

static const char CERT_B[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBZTCCAQugAwIBAgIBAzAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA16a2ZzIHRl\n"
    "c3QgY2ExMCAXDTIwMDEwMTAwMDAwMFoYDzIwOTkxMjMxMjM1OTU5WjAMMQowCAYD\n"
    "VQQDDAFiMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE6ZsLSitGdvUGC65leFw5\n"
    "uZTP0gREe/p6SkHD+X3OhqyC1IX56QroNyU5AhpaCDQJdITSR4qczhlz9LcD3XWk\n"
    "iaNQME4wDAYDVR0RBAUwA4IBYjAdBgNVHQ4EFgQUOWZAFmejzKeCGwKS6+9qZ2D4\n"
    "mnMwHwYDVR0jBBgwFoAUeAsK20AU/kOFyyuNVuUCQd8l4aQwCgYIKoZIzj0EAwID\n"
    "SAAwRQIgBiUyPOT8bw2ZTDjbd/XnxOJqYPD6ULscM7UGD9YZ2ocCIQDn8baR7k9/\n"
    "OLLpRjPf6DylG2y5OCitwmO+H+FV4cgHvg==\n"
    "-----END CERTIFICATE-----\n";

static const char CERT_B_KEY[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIB9sl3B4FckFOWmzsljz9dg4fNiMmwHRpsTIj9zvj18soAoGCCqGSM49\n"
    "AwEHoUQDQgAE6ZsLSitGdvUGC65leFw5uZTP0gREe/p6SkHD+X3OhqyC1IX56Qro\n"
    "NyU5AhpaCDQJdITSR4qczhlz9LcD3XWkiQ==\n"
    "-----END EC PRIVATE KEY-----\n";

static const char CERT_OTHER_CA[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBUjCB+aADAgECAgEBMAoGCCqGSM49BAMCMBgxFjAUBgNVBAMMDXprZnMgdGVz\n"
    "dCBjYTIwIBcNMjAwMTAxMDAwMDAwWhgPMjA5OTEyMzEyMzU5NTlaMBgxFjAUBgNV\n"
    "BAMMDXprZnMgdGVzdCBjYTIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASe21+F\n"
    "VsP4PJL5u/z240nvMpu87c8Po5KNPTruEw7oS3QeUrZ1feQ1jBFHuQqtc+YLglLa\n"
    "XDrA1NbJB1enVgCZozIwMDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBQzIlib\n"
    "Y4B3BnaSOFWs1HTz2Zu4/DAKBggqhkjOPQQDAgNIADBFAiEAlmkqFcjIdrHOgRF7\n"
    "m+DZIk7SxQC/uw6h30NL/PYff64CIFDKAdZ9M6JmqsDQIztZNOhG0uIlYLezxsDP\n"
    "jwvfpcfl\n"
    "-----END CERTIFICATE-----\n";

static const char CERT_OTHER[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBZTCCAQugAwIBAgIBAjAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA16a2ZzIHRl\n"
    "c3QgY2EyMCAXDTIwMDEwMTAwMDAwMFoYDzIwOTkxMjMxMjM1OTU5WjAMMQowCAYD\n"
    "VQQDDAFjMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhXDnDwbIutfduPzjHlmK\n"
    "ocdr4LcHO2c+HMNzOtlnw3wMlbzAt2/U6TRN0Eh5Uh3q/6O/mn3b9Z0twUsfVL+P\n"
    "X6NQME4wDAYDVR0RBAUwA4IBYzAdBgNVHQ4EFgQUdz8D6l6VL+AwoL63KF3QIC3U\n"
    "URwwHwYDVR0jBBgwFoAUMyJYm2OAdwZ2kjhVrNR089mbuPwwCgYIKoZIzj0EAwID\n"
    "SAAwRQIgEP0J6YKlQnTosmcLINLxi0Y9qceyYN+72voxy5VgJe8CIQD00gViRkOI\n"
    "927AvKqhmqVe3yEsVjhNt4fqZLOc+tEzcQ==\n"
    "-----END CERTIFICATE-----\n";

static const char CERT_OTHER_KEY[] =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEILb56jKM1+xU200DE1WcjyrPBEBcN3CyJlj71aSyaP2uoAoGCCqGSM49\n"
    "AwEHoUQDQgAEhXDnDwbIutfduPzjHlmKocdr4LcHO2c+HMNzOtlnw3wMlbzAt2/U\n"
    "6TRN0Eh5Uh3q/6O/mn3b9Z0twUsfVL+PXw==\n"
    "-----END EC PRIVATE KEY-----\n";

#endif
