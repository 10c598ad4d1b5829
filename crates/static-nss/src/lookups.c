/*
 * A static program with glibc still loads the modules that /etc/nsswitch.conf names, such as mdns4_minimal, resolve, myhostname
 * or systemd. With them comes the libc of the system, and the program ends with
 * "_dl_call_libc_early_init: Assertion `sym != NULL' failed" where that has another version. So hosts are looked up in /etc/hosts
 * and by DNS, and users in /etc/passwd, which glibc has compiled in, whatever that file says.
 */
#include <nss.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void look_up_without_modules(void)
{
    if (__nss_configure_lookup("hosts", "files dns") != 0 || __nss_configure_lookup("passwd", "files") != 0) {
        perror("could not set how names are looked up");
        exit(1);
    }
}
