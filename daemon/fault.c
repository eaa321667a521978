#include "daemon/fault.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

int
zk_fault_set(struct zk_fault *fault, int rc, enum zk_exit status,
    const char *fmt, ...)
{
	va_list ap;

	ZK_ASSERT(rc < 0);
	ZK_ASSERT(status != ZK_EXIT_OK);

	fault->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	/* Names and values come from a person's file: keep it one line. */
	for (char *p = fault->text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return rc;
}
