/** Declares the style and the script of the page: page_style.css and page_script.js, which the
 * build embeds. */
#ifndef RN_TRAINER_REPORT_PAGE_ASSETS_H
#define RN_TRAINER_REPORT_PAGE_ASSETS_H

extern const char rn_page_style[], rn_page_script[];

#endif
