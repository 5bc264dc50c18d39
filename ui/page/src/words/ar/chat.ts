import type { Words } from '../words'

const number = new Intl.NumberFormat('ar', { maximumFractionDigits: 1 })
const list = new Intl.ListFormat('ar')
const plural = new Intl.PluralRules('ar')

/** Arabic counts one and two in the noun itself, three to ten with the plural, and more with the singular. */
function count(value: number, one: string, two: string, few: string, many: string): string {
  const rule = plural.select(value)
  if (rule === 'one') return one
  if (rule === 'two') return two
  return `${number.format(value)} ${rule === 'few' || rule === 'zero' ? few : many}`
}
const seconds = (value: number) => (value < 1 ? `${number.format(Math.round(value * 1000))} مللي ثانية` : `${number.format(value)} ث`)
const tokens = (value: number) => count(value, 'رمز واحد', 'رمزان', 'رموز', 'رمزًا')

export const chat: Words['chat'] = {
  conversation: 'المحادثة',
  question: 'سؤالك',
  answer: 'الإجابة',
  earlier: (turns) => `عرض ${count(turns, 'رسالة سابقة', 'رسالتين سابقتين', 'رسائل سابقة', 'رسالة سابقة')}`,
  toLatest: 'الانتقال إلى أحدث نص',
  loading: 'جارٍ تحميل المحادثة',

  ask: 'السؤال',
  yourQuestion: 'سؤالك',
  placeholder: 'اسأل شيئًا',
  placeholderBusy: 'اكتب السؤال التالي',
  send: 'إرسال',
  sendTitle: 'إرسال (Enter)',
  sendQueued: 'الإرسال بعد هذه الإجابة',
  sendQueuedTitle: 'الإرسال بعد هذه الإجابة (Enter) أو الآن (Ctrl+Enter)',
  stop: 'إيقاف الإجابة',
  stopTitle: 'إيقاف (Esc)',
  hint: 'Enter للإرسال · Shift+Enter لسطر جديد · Esc للإيقاف · ↑ لتعديل آخر سؤال',
  hintBusy: 'Enter للانتظار · Ctrl+Enter للإرسال الآن · Esc للإيقاف',

  queue: 'بانتظار الإرسال',
  queueOffline: 'يُرسل حالما يعود الاتصال',
  queueEdit: 'تعديل هذا السؤال المنتظر',
  queueRemove: 'إزالة هذا السؤال المنتظر',
  queueNow: 'إرسال الآن',
  queueNowTitle: 'إيقاف الإجابة الجارية وإرسال هذا الآن',
  files: (files) => count(files, 'ملف واحد', 'ملفان', 'ملفات', 'ملفًا'),

  attach: 'إضافة ملفات',
  attachTitle: 'إضافة ملفات: صور ونصوص',
  attachTextTitle: 'إضافة ملفات نصية',
  attached: 'ملفات هذا السؤال',
  attachLimits: (files, size, images) =>
    `حتى ${count(files, 'ملف واحد', 'ملفين', 'ملفات', 'ملفًا')}، مجموعها ${size}: ${images ? 'صور ونصوص' : 'نصوص؛ هذا النموذج لا يقبل الصور'}.`,
  removeFile: (name) => `إزالة ${name}`,
  drop: 'أفلت الملفات هنا لإضافتها إلى السؤال',
  tooMany: (files) => `لا يتسع السؤال لأكثر من ${count(files, 'ملف واحد', 'ملفين', 'ملفات', 'ملفًا')}.`,
  tooLarge: (name, size) => `${name} كبير جدًا: لا يجوز أن يتجاوز مجموع ملفات السؤال ${size}.`,
  tooLargeAlone: (name, size) => `${name} كبير جدًا: الحد لملف من هذا النوع ${size}.`,
  noImages: (name) => `${name}: هذا النموذج لا يقبل الصور.`,
  notText: (name) => `${name} ليس صورة ولا نصًا.`,
  unreadable: (name) => `تعذّرت قراءة ${name}.`,

  edit: 'تعديل',
  editQuestion: 'تعديل هذا السؤال',
  editCancel: 'إلغاء',
  editSend: 'إرسال',
  editNote: 'يبقى السؤال القديم وإجاباته إلى جانب هذا.',
  branches: 'الصيغ',
  branchPrevious: 'الصيغة السابقة',
  branchNext: 'الصيغة التالية',
  branchPlace: (place, all) => `${number.format(place)} / ${number.format(all)}`,
  branchSpoken: (place, all) => `الصيغة ${number.format(place)} من ${number.format(all)}`,

  waiting: 'بانتظار الكلمات الأولى',
  reconnecting: 'انقطع الاتصال وتجري إعادته؛ ستتابع الإجابة من حيث توقفت.',
  stopped: 'أُوقفت.',
  stoppedEmpty: 'أُوقفت قبل الكلمة الأولى.',
  cutByLength: 'قُطعت: بلغ النموذج حدّ الطول.',
  cutByFilter: 'قطعها مرشّح المحتوى لدى المزوّد.',
  empty: 'أعاد النموذج إجابة فارغة.',
  fitted: (dropped) =>
    `المحادثة أطول مما يستطيع هذا النموذج قراءته: تُركت ${count(dropped, 'أقدم رسالة', 'أقدم رسالتين', 'رسائل هي الأقدم', 'رسالة هي الأقدم')}.`,
  goOn: 'متابعة',
  continuedQuestion: 'طُلبت البقية',
  regenerate: 'إجابة جديدة',
  regenerateTitle: 'سؤال النموذج مجددًا دون الذاكرة المخبّأة؛ تبقى هذه الإجابة',
  copy: 'نسخ',
  copied: 'نُسخ',
  copyAnswer: 'نسخ الإجابة',
  copyQuestion: 'نسخ السؤال',
  retry: 'إعادة المحاولة',
  retryIn: (left) => `إعادة المحاولة بعد ${number.format(left)} ث`,
  details: 'التفاصيل',

  thinking: 'يفكّر…',
  thoughts: 'الأفكار',
  thoughtFor: (spent) => (spent < 1 ? 'فكّر أقل من ثانية' : `فكّر ${number.format(Math.round(spent))} ث`),
  tool: (name) => `الأداة ${name}`,
  toolRunning: (name) => `الأداة ${name} …`,
  toolInput: 'استُدعيت بـ',
  toolOutput: 'النتيجة',

  cached: 'مخبّأة',
  joined: 'مشتركة',
  live: 'مباشرة',
  continued: 'متابَعة',
  facts: 'عن هذه الإجابة',
  ago: (milliseconds) => {
    const minutes = Math.floor(milliseconds / 60_000)
    if (minutes < 1) return 'الآن'
    if (minutes < 60) return `قبل ${number.format(minutes)} د`
    const hours = Math.floor(minutes / 60)
    if (hours < 48) return `قبل ${number.format(hours)} س`
    return `قبل ${count(Math.floor(hours / 24), 'يوم', 'يومين', 'أيام', 'يومًا')}`
  },
  factSource: 'المصدر',
  fromCache: (ago) => `من الذاكرة المخبّأة، كُتبت ${ago}`,
  fromJoin: 'مشتركة مع السؤال نفسه الذي كان يُجاب عنه',
  fromModel: 'كتبها النموذج لهذا السؤال',
  fromLive: 'تُكتب الآن؛ كل جهاز يفتحها يتابع القراءة هنا',
  factMatched: 'صيغة السؤال السابق',
  factContinued: 'المتابعة',
  continuedBy: (times, by) =>
    `${count(times, 'مرة واحدة', 'مرتين', 'مرات', 'مرة')}، بعد انقطاع ${by === 'server' ? 'الخادم' : 'المزوّد'}`,
  factSaved: 'الموفَّر',
  saved: (time, saved, cost) =>
    list.format([time > 0 ? seconds(time) : '', saved > 0 ? tokens(saved) : '', cost].filter(Boolean)),
  factCost: 'الكلفة',
  factFirst: 'الرمز الأول بعد',
  factSpeed: 'السرعة',
  factDuration: 'الإجابة كاملة',
  factOriginal: 'الأرقام هي أرقام التشغيل الذي كتبها.',
  seconds,
  speed: (rate) => `${number.format(rate < 10 ? rate : Math.round(rate))} رمز/ث`,
  factUsage: 'الرموز',
  usage: (input, cachedTokens, output, reasoning) =>
    [
      input > 0 && `المقروء ${number.format(input)}${cachedTokens > 0 ? ` (منها ${number.format(cachedTokens)} من ذاكرة المزوّد)` : ''}`,
      output > 0 && `المكتوب ${number.format(output)}${reasoning > 0 ? ` (منها ${number.format(reasoning)} للتفكير)` : ''}`,
    ]
      .filter(Boolean)
      .join('، '),
  factModel: 'النموذج',
  factStream: 'الدفق',
  copyCurl: 'نسخ كأمر curl',
  copyCurlTitle: 'نسخ كأمر curl يقرأ دفق هذه الإجابة في الطرفية',
  copyStream: 'نسخ معرّف الدفق',

  answering: 'تُكتب الإجابة',
  moreWords: (words) => `… بقيت ${count(words, 'كلمة واحدة', 'كلمتان', 'كلمات', 'كلمة')}، اقرأ الإجابة لسماع البقية.`,
  spokenHeading: (text) => `عنوان: ${text}.`,
  spokenCode: (language, lines) => `شيفرة${language && ` ${language}`}، ${count(lines, 'سطر واحد', 'سطران', 'أسطر', 'سطرًا')}.`,
  spokenTable: (rows) => `جدول من ${count(rows, 'صف واحد', 'صفين', 'صفوف', 'صفًا')}.`,
  spokenImage: (name) => `صورة: ${name}.`,
  spokenQuote: (text) => `اقتباس: ${text}`,
  spokenQueued: 'السؤال بانتظار الإجابة الجارية.',

  doneTitle: 'الإجابة جاهزة',
  notifyOffer: 'هل تخبرك هذه الصفحة حين تجهز إجابة وأنت في مكان آخر؟',
  notifyYes: 'نعم، أخبرني',
  notifyNo: 'لا',
  done: (title) => (title === '' ? 'إجابتك جاهزة' : title),

  problems: {
    unreachable: 'تعذّر الوصول إلى الخادم.',
    gone: 'لم تعد هذه الإجابة لدى الخادم.',
    lost: 'غاب الخادم الذي كان يكتب هذه الإجابة؛ ما وصل جزء منها فقط.',
    busy: 'ما زالت إجابة أخرى تُكتب في هذه المحادثة.',
    limited: 'الأسئلة كثيرة جدًا في هذه اللحظة.',
    tooLong: 'المحادثة أطول مما يقبله هذا النموذج.',
    refused: 'لا يقبل مزوّد النموذج هذا السؤال.',
    access: 'لا يُسمح للخادم باستخدام هذا النموذج: يجب فحص مفتاحه أو حصته.',
    away: 'تعذّر الوصول إلى مزوّد النموذج في هذه اللحظة.',
    slow: 'استغرق النموذج وقتًا أطول من اللازم.',
    broken: 'انقطعت الإجابة من جهة المزوّد.',
    model: 'لا يمكن استخدام النموذج في هذه اللحظة.',
    tooLarge: 'السؤال مع ملفاته كبير جدًا.',
    restart: 'يُعاد تشغيل الخادم الآن.',
    store: 'لا يستطيع الخادم حفظ الإجابات في هذه اللحظة.',
    unknownModel: 'لم يعد هذا النموذج متاحًا؛ اختر غيره.',
    invalid: 'لم يستطع الخادم قراءة السؤال.',
    signIn: 'يرجى تسجيل الدخول من جديد.',
    unkept: 'لا مساحة في هذا المتصفح لحفظ السؤال. أبقِ الصفحة مفتوحة حتى يُرسل.',
    files: 'ملفات هذا السؤال أكبر من أن يحفظها هذا المتصفح. اطرح السؤال من جديد مع ملفاته.',
    unsent: 'لم يُرسل هذا السؤال.',
    quota: 'استُنفد ما يُسمح لك باستخدامه في اليوم.',
    notAllowed: 'لا يُسمح لك بذلك هنا.',
    missing: 'هذه المحادثة غير موجودة: إمّا أنها حُذفت أو لم تكن قط.',
    other: 'حدث خطأ ما.',
  },
}
